//! A bell inside one object: whoever waits is woken when something happened. It holds wakers only, never a promise, and lives
//! and dies with its object.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

#[derive(Default)]
pub struct Bell {
    rung: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Bell {
    /// Wakes everybody who waits.
    pub fn ring(&self) {
        self.rung.set(self.rung.get().wrapping_add(1));
        let waiting = self.waiting.take();
        for waker in waiting {
            waker.wake();
        }
    }

    /// How often it was rung. Take this before looking at what the bell is about; then no ring is missed.
    pub fn count(&self) -> u64 {
        self.rung.get()
    }

    /// Waits for a ring after `count`.
    pub async fn after(&self, count: u64) {
        poll_fn(|context| {
            if self.rung.get() != count {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}
