//! One open stream: what its client has yet to be told.
//!
//! A client that reads slowly is told how its jobs are by then, not each way there: of a job that changes again before it was told
//! there is still one event. So a stream holds at most [`MOST_UNTOLD`] events, whatever happens, and their text is shared with the
//! user's other streams. What comes beyond that is not kept: the stream [lags](Lag), and reads it from the database when its client
//! has taken the rest.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use axum::body::Bytes;
use messages::{JobId, SessionId, UserId};
use store::CatchUp;

use super::position::Position;

/// The most events that wait for a client.
pub(super) const MOST_UNTOLD: usize = 256;

/// How a job is, as every stream tells it.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) job: JobId,
    /// Everything but the id.
    pub(super) text: Bytes,
    pub(super) updated: Position,
    /// Whether the job has ended.
    pub(super) is_final: bool,
}

/// What a stream does next.
#[derive(Debug)]
pub(super) enum Next {
    Tell(Position, Bytes),
    /// It waits. `asks`: for a part of what it lags behind.
    Wait {
        asks: bool,
    },
    End,
}

/// A stream that does not know how all of its jobs are.
#[derive(Debug, Clone, Copy)]
struct Lag {
    /// When the first part of this pass was read.
    began: Option<Position>,
    from: CatchUp,
    /// Something was dropped since, so that another pass follows.
    again: bool,
}

impl Lag {
    const START: Self = Self { began: None, from: CatchUp::START, again: false };
}

#[derive(Debug)]
struct State {
    untold: VecDeque<Event>,
    /// All that changed before is told.
    told: Position,
    /// All that changed before is told or untold, unless the stream lags.
    reached: Position,
    lag: Option<Lag>,
    has_asked: bool,
    /// Whether there was no room, so that nothing is kept until the next part is read.
    drops: bool,
    is_over: bool,
    waker: Option<Waker>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) user: UserId,
    pub(super) session: SessionId,
    /// The only job that it is about.
    pub(super) only: Option<JobId>,
    state: Mutex<State>,
}

impl Reader {
    /// A stream whose client was told everything until then.
    pub(super) fn new(user: UserId, session: SessionId, only: Option<JobId>, told: Position) -> Self {
        let state = State {
            untold: VecDeque::new(),
            told,
            reached: told,
            lag: Some(Lag::START),
            has_asked: false,
            drops: false,
            is_over: false,
            waker: None,
        };
        Self { user, session, only, state: Mutex::new(state) }
    }

    /// All that changed before is told.
    pub(super) fn told(&self) -> Position {
        self.state().told
    }

    pub(super) fn next(&self, cx: &Context<'_>) -> Next {
        let mut state = self.state();
        if let Some(event) = state.untold.pop_front() {
            if self.only.is_some() {
                state.is_over |= event.is_final;
                return Next::Tell(event.updated, event.text);
            }
            if state.untold.is_empty() && state.lag.is_none() {
                state.told = state.told.max(state.reached);
            }
            return Next::Tell(state.told, event.text);
        }
        if state.is_over {
            return Next::End;
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        let asks = state.lag.is_some() && !state.has_asked;
        state.has_asked |= asks;
        Next::Wait { asks }
    }

    /// Something has become of a job. `reached`: of whatever changed before that, this stream has been told.
    pub(super) fn push(&self, event: &Event, reached: Position) {
        if self.only.is_some_and(|only| only != event.job) {
            return;
        }
        let mut state = self.state();
        if state.untold.is_empty() && state.lag.is_none() {
            state.told = state.told.max(state.reached);
        }
        state.keep(event);
        state.reached = state.reached.max(reached);
        state.wake();
    }

    /// The part that it lags behind is about to be read, `now`: what ended since then, from there. `None`: nothing is.
    pub(super) fn begin(&self, now: Position) -> Option<(Position, CatchUp)> {
        let mut state = self.state();
        if state.is_over {
            return None;
        }
        let told = state.told;
        let lag = state.lag.as_mut()?;
        lag.began = lag.began.or(Some(now));
        let from = lag.from;
        state.drops = false;
        Some((told, from))
    }

    /// The part was read. `next`: where to go on, unless it was the last.
    pub(super) fn caught_up(&self, events: &[Event], next: Option<CatchUp>) {
        let mut state = self.state();
        state.has_asked = false;
        let lag = state.lag.take();
        state.lag = match (lag, next) {
            (Some(lag), Some(from)) => Some(Lag { from, ..lag }),
            (Some(lag), None) if lag.again => Some(Lag::START),
            (Some(lag), None) => {
                state.reached = state.reached.max(lag.began.unwrap_or(state.reached));
                None
            }
            (None, _) => None,
        };
        for event in events {
            state.keep(event);
        }
        state.wake();
    }

    /// Changes may have been missed: everything is read anew.
    pub(super) fn lags(&self) {
        let mut state = self.state();
        state.lag = Some(Lag::START);
        state.has_asked = false;
        state.wake();
    }

    /// It has nothing more to tell.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.is_over = true;
        state.untold.clear();
        state.wake();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps an event until it is told, in the place of an older one of its job.
    fn keep(&mut self, event: &Event) {
        if self.is_over {
            return;
        }
        if let Some(older) = self.untold.iter_mut().find(|untold| untold.job == event.job) {
            older.clone_from(event);
            return;
        }
        if self.untold.len() < MOST_UNTOLD && !self.drops {
            self.untold.push_back(event.clone());
            return;
        }
        self.drops = true;
        match &mut self.lag {
            Some(lag) => lag.again = true,
            None => self.lag = Some(Lag::START),
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::*;

    fn at(seconds: i64) -> Position {
        Position::at(OffsetDateTime::UNIX_EPOCH + Duration::seconds(seconds))
    }

    fn reader(only: Option<JobId>) -> Reader {
        Reader::new(UserId::from_bytes([1; 12]), SessionId::from_bytes([2; 12]), only, at(100))
    }

    fn event(job: JobId, text: &'static str) -> Event {
        Event { job, text: Bytes::from_static(text.as_bytes()), updated: at(7), is_final: text == "final" }
    }

    fn next(reader: &Reader) -> Next {
        reader.next(&Context::from_waker(Waker::noop()))
    }

    /// All that it tells before it waits or ends.
    fn told(reader: &Reader) -> Vec<(Position, Bytes)> {
        let mut told = Vec::new();
        while let Next::Tell(position, text) = next(reader) {
            told.push((position, text));
        }
        told
    }

    /// Catches up with nothing to tell.
    fn caught_up(reader: &Reader, now: Position) {
        assert!(matches!(next(reader), Next::Wait { asks: true }));
        assert!(matches!(next(reader), Next::Wait { asks: false }), "it asks once");
        assert!(reader.begin(now).is_some());
        reader.caught_up(&[], None);
    }

    #[test]
    fn its_position_moves_only_with_the_last_thing_that_it_has_to_tell() {
        let reader = reader(None);
        let jobs = [(); 3].map(|()| JobId::new());
        reader.push(&event(jobs[0], "early"), at(130));
        assert_eq!(told(&reader), [(at(100), "early".into())], "it lags");
        assert_eq!(reader.begin(at(120)), Some((at(100), CatchUp::START)));
        reader.caught_up(&[event(jobs[0], "a"), event(jobs[1], "b")], None);
        reader.push(&event(jobs[2], "c"), at(140));
        assert_eq!(told(&reader), [(at(100), "a".into()), (at(100), "b".into()), (at(140), "c".into())]);
        reader.push(&event(jobs[0], "d"), at(139));
        assert_eq!(told(&reader), [(at(140), "d".into())]);
    }

    #[test]
    fn a_job_that_changes_again_is_told_once_as_it_is_by_then() {
        let reader = reader(None);
        caught_up(&reader, at(110));
        let (one, other) = (JobId::new(), JobId::new());
        for (job, text) in [(one, "queued"), (other, "queued"), (one, "running"), (one, "completed")] {
            reader.push(&event(job, text), at(120));
        }
        assert_eq!(told(&reader), [(at(110), "completed".into()), (at(120), "queued".into())]);
    }

    #[test]
    fn whoever_does_not_read_makes_nothing_grow_and_catches_up_later() {
        let reader = reader(None);
        caught_up(&reader, at(110));
        let first = JobId::new();
        reader.push(&event(first, "old"), at(120));
        for _ in 0..10 * MOST_UNTOLD {
            reader.push(&event(JobId::new(), "x"), at(130));
        }
        reader.push(&event(first, "new"), at(130));
        let before = told(&reader);
        assert_eq!((before.len(), &before[0].1), (MOST_UNTOLD, &"new".into()));
        assert!(before.iter().all(|(position, _)| *position == at(110)), "a client that comes again gets all of it");

        // It has asked by now. What is dropped while it catches up is read in another pass.
        assert_eq!(reader.begin(at(140)), Some((at(110), CatchUp::START)));
        for _ in 0..2 * MOST_UNTOLD {
            reader.push(&event(JobId::new(), "y"), at(150));
        }
        reader.caught_up(&[], None);
        assert_eq!(told(&reader).len(), MOST_UNTOLD);
        assert_eq!(reader.begin(at(160)), Some((at(110), CatchUp::START)));
        reader.caught_up(&[event(first, "z")], None);
        assert_eq!(told(&reader), [(at(160), "z".into())]);
        assert_eq!(reader.begin(at(170)), None);
    }

    #[test]
    fn the_stream_of_a_job_ends_with_it_and_tells_of_no_other() {
        let job = JobId::new();
        let reader = reader(Some(job));
        caught_up(&reader, at(110));
        reader.push(&event(JobId::new(), "final"), at(120));
        assert!(matches!(next(&reader), Next::Wait { .. }));
        reader.push(&event(job, "running"), at(120));
        assert_eq!(told(&reader), [(at(7), "running".into())]);
        reader.push(&event(job, "final"), at(130));
        assert_eq!(told(&reader), [(at(7), "final".into())]);
        assert!(matches!(next(&reader), Next::End));
    }
}
