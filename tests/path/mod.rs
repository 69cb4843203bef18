//! The path that must work end to end: from an operator's registration to an event in an inbox, by push and by poll, and what
//! clients may do with their streams on the way.

mod at_once;
mod poll;
mod publishing;
mod push;
mod secrets;
mod streams;
