//! The bundled transport.
/// x
#[derive(Debug)]
pub struct ReqwestTransport {}
