//! The name of the work that is being done right now, for log lines.
//!
//! The door names each request; the logger asks for the name of what runs on its thread and
//! puts it on the line. Work spawned out of a request takes the name along by [`within`].

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

thread_local! {
    static CURRENT: RefCell<Option<Rc<str>>> = const { RefCell::new(None) };
}

/// Name of the request this thread is working for, if any.
pub fn current() -> Option<Rc<str>> {
    // A log line written while thread-locals are torn down has no scope.
    CURRENT
        .try_with(|current| current.borrow().clone())
        .unwrap_or(None)
}

/// Runs every poll of `work` under `name`.
pub fn within<F>(name: Option<Rc<str>>, work: F) -> Within<F> {
    Within {
        name,
        work: Box::pin(work),
    }
}

pub struct Within<F> {
    name: Option<Rc<str>>,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let _restore = Restore(CURRENT.replace(this.name.clone()));
        this.work.as_mut().poll(cx)
    }
}

/// Puts the outer name back, also when the poll panics.
struct Restore(Option<Rc<str>>);

impl Drop for Restore {
    fn drop(&mut self) {
        let outer = self.0.take();
        CURRENT.set(outer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_nest_and_end_with_their_poll() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let inner = within(Some("b".into()), async { current() });
        let outer = within(Some("a".into()), async move { (inner.await, current()) });
        let mut outer = Box::pin(outer);
        let Poll::Ready((inner, after)) = outer.as_mut().poll(&mut cx) else {
            panic!("nothing here waits");
        };
        assert_eq!(inner.as_deref(), Some("b"));
        assert_eq!(after.as_deref(), Some("a"));
        assert_eq!(current(), None);
    }
}
