//! Bad input at every URL: each request gets the error that its standard prescribes, with a request id, and nothing changes.

mod authorization;
mod bodies;
mod clients_and_sources;
mod limits;
mod paths;
mod publishing;
mod routes;
mod streams;
mod token;
mod world;
