//! Pages and the one loop over them.

use futures_core::future::BoxFuture;
use futures_util::{StreamExt, stream, stream::BoxStream};

use crate::error::{Error, ErrorKind, Result};

crate::opaque_id! {
    /// A service's position in a listing; storable, good for the same query only.
    PageToken
}

/// One page of a listing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items, in the service's order; may be empty although more follow.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<PageToken>,
}

impl<T> Page<T> {
    /// A page of `items`, followed by `next`. An empty token counts as the end.
    #[must_use]
    pub fn new(items: Vec<T>, next: Option<PageToken>) -> Self {
        Self { items, next: next.filter(|token| !token.as_str().is_empty()) }
    }
}

/// Turns "fetch the page at this token" into a stream of items.
///
/// It ends after its first error, and refuses a token equal to the previous one (a looping server).
pub fn stream<'a, T, F>(fetch: F) -> BoxStream<'a, Result<T>>
where
    T: Send + 'a,
    F: Fn(Option<PageToken>) -> BoxFuture<'a, Result<Page<T>>> + Send + Sync + 'a,
{
    enum At {
        Start,
        Token(PageToken),
        End,
    }
    stream::unfold((At::Start, fetch), |(at, fetch)| async move {
        let token = match at {
            At::Start => None,
            At::Token(token) => Some(token),
            At::End => return None,
        };
        match fetch(token.clone()).await {
            Err(error) => Some((vec![Err(error)], (At::End, fetch))),
            Ok(page) => {
                let mut items: Vec<Result<T>> = page.items.into_iter().map(Ok).collect();
                let next = match page.next {
                    None => At::End,
                    Some(next) if Some(&next) == token.as_ref() => {
                        let loops = "the service returned the same page token twice";
                        items.push(Err(Error::new(ErrorKind::Validation, loops)));
                        At::End
                    }
                    Some(next) => At::Token(next),
                };
                Some((items, (next, fetch)))
            }
        }
    })
    .flat_map(stream::iter)
    .boxed()
}
