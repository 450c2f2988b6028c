use bytes::Bytes;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path},
};

use crate::http::{Body, ReqwestTransport, Transport, TransportErrorKind};

fn get(url: &str) -> http::Request<Body> {
    http::Request::get(url).body(Body::default()).unwrap()
}

/// A gzip file of two mebibytes of zeros in a few kilobytes, written with deflate's fixed codes; it breaks off.
fn bomb() -> Vec<u8> {
    let mut bits: Vec<bool> = vec![true, true, false];
    let mut push = |code: u32, length: u32| bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    push(0b0011_0000, 8);
    for _ in 0..8200 {
        // 258 bytes more of the byte before.
        push(0b1100_0101, 8);
        push(0, 5);
    }
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    bytes.extend(bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |all, bit| all << 1 | u8::from(*bit))));
    bytes
}

async fn serve(body: Vec<u8>) -> MockServer {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_bytes(body).insert_header("content-encoding", "gzip");
    Mock::given(method("GET")).respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = MockServer::start().await;
    let there = format!("{}/elsewhere", server.uri());
    let redirect = ResponseTemplate::new(302).insert_header("location", there.as_str());
    Mock::given(path("/here")).respond_with(redirect).expect(1).mount(&server).await;
    Mock::given(path("/elsewhere")).respond_with(ResponseTemplate::new(200)).expect(0).mount(&server).await;
    let response = ReqwestTransport::new().unwrap().execute(get(&format!("{}/here", server.uri()))).await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], there.as_str());
}

#[tokio::test]
async fn method_headers_and_body_arrive_as_they_are() {
    let server = MockServer::start().await;
    let expected = Mock::given(method("PUT")).and(path("/a%20b")).and(header("x-one", "1"));
    let expected = expected.and(header("user-agent", "integration/0.1 (gzip)"));
    let expected = expected.and(wiremock::matchers::body_bytes(b"body".as_slice()));
    expected.respond_with(ResponseTemplate::new(204).insert_header("x-two", "2")).mount(&server).await;
    let request = http::Request::put(format!("{}/a%20b?q=1", server.uri())).header("x-one", "1");
    let request = request.body(Body::from(Bytes::from_static(b"body"))).unwrap();
    let response = ReqwestTransport::new().unwrap().execute(request).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["x-two"]), (204, &"2".parse().unwrap()));
}

#[tokio::test]
async fn a_compressed_answer_arrives_unpacked() {
    let packed =
        [31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 43, 205, 43, 72, 76, 206, 78, 77, 1, 0, 150, 98, 47, 202, 8, 0, 0, 0];
    let server = serve(packed.to_vec()).await;
    let response = ReqwestTransport::new().unwrap().execute(get(&server.uri())).await.unwrap();
    assert_eq!(response.into_body().collect(100).await.unwrap(), "unpacked");
}

#[tokio::test]
async fn a_decompression_bomb_stops_at_the_cap() {
    let packed = bomb();
    assert!(packed.len() < 20_000);
    let server = serve(packed).await;
    let response = ReqwestTransport::new().unwrap().execute(get(&server.uri())).await.unwrap();
    let error = response.into_body().collect(1_000_000).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::TooLarge);
}

#[tokio::test]
async fn a_refused_connection_cannot_have_taken_effect_and_names_no_url() {
    // Taken, so that nobody else gets it, and never listened on.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = taken.local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/path?token=canary");
    let error = ReqwestTransport::new().unwrap().execute(get(&url)).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Connect);
    assert!(!error.may_have_taken_effect());
    assert!(!format!("{error:?} {error}").contains("canary"));
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_may_have_taken_effect() {
    let listener = tokio::task::spawn_blocking(|| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let far_side = tokio::task::spawn_blocking(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let read = std::io::Read::read(&mut socket, &mut [0; 1024]).unwrap();
        assert!(read > 0);
    });
    let error = ReqwestTransport::new().unwrap().execute(get(&format!("http://127.0.0.1:{port}/"))).await.unwrap_err();
    far_side.await.unwrap();
    assert_eq!(error.kind(), TransportErrorKind::Interrupted);
}
