//! Several calls at once. One piece of machinery for all of them, whatever they answer: it would be compiled anew for each kind.

use std::cell::Cell;
use std::future::Future;

use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;

/// Runs all of these to their ends; the results in the order of the futures.
pub async fn together<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let futures: Vec<_> = futures.collect();
    let slots: Vec<Cell<Option<T>>> = futures.iter().map(|_| Cell::new(None)).collect();
    {
        let filling = futures.into_iter().zip(&slots);
        let filling = filling
            .map(|(future, slot)| -> LocalBoxFuture<'_, ()> { Box::pin(async move { slot.set(Some(future.await)) }) });
        run(filling.collect()).await;
    }
    slots.into_iter().filter_map(Cell::into_inner).collect()
}

async fn run(mut running: FuturesUnordered<LocalBoxFuture<'_, ()>>) {
    while running.next().await.is_some() {}
}
