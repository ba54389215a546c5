//! What whoever runs the system decides about jobs.

mod bulk;
mod decisions;
