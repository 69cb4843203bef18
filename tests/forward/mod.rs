//! An inbox that goes on to an application of its owner.
