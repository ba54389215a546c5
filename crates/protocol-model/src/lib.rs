//! The job protocol as a model: tests only, see docs/testing.md.
//!
//! Every order of steps, with crashes, doubled and late messages and leases that run out under a live worker, is gone through
//! by a model checker. The legal changes of a job are those of [`store::TRANSITIONS`](../store/constant.TRANSITIONS.html).

#[cfg(test)]
mod promises;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod system;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod work;
