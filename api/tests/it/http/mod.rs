//! What holds for every request and answer.

mod behind_nginx;
mod bodies;
mod connections;
mod cors;
mod cross_origin;
mod documented;
mod headers;
mod heads;
mod paths;
mod refused_early;
