//! Attaching files to a draft. Source: <https://learn.microsoft.com/graph/outlook-large-attachments>.

use integration_core::{ErrorKind, Result, email::OutgoingAttachment};

use super::{Outlook, error, wire};
use crate::client::{LARGEST_PLAIN, operation};

/// Attaches a file: in one call if it is small, else piece by piece.
pub(super) async fn attach(outlook: &Outlook, draft: &str, file: &OutgoingAttachment) -> Result<()> {
    if file.bytes.len() <= LARGEST_PLAIN {
        outlook.session.send(outlook.client.attach(draft, file)?).await?;
        return Ok(());
    }
    let session = outlook.session.send(outlook.client.upload_session(draft, file)?).await?;
    let session: wire::Upload = session.json()?;
    let mut from = 0;
    while from < file.bytes.len() {
        let answer = outlook.session.send(outlook.client.upload(&session.upload_url, file, from)?).await?;
        // The last piece is answered with what was created; each other one with where to go on.
        let next = match answer.status {
            http::StatusCode::CREATED => file.bytes.len(),
            _ => expected(&answer.json::<wire::Upload>()?).unwrap_or(from),
        };
        if next <= from {
            let message = "the upload does not come forward";
            return Err(error(ErrorKind::Unavailable, message).with_operation(operation::UPLOAD));
        }
        from = next;
    }
    Ok(())
}

/// Where the next piece begins: a range, or only its beginning. `None`: nothing is expected any more.
pub(super) fn expected(upload: &wire::Upload) -> Option<usize> {
    upload.next_expected_ranges.first()?.split('-').next()?.trim().parse().ok()
}
