//! Reading rollups: an hour, a day or a week, in so few parts that a chart shows each.

use bson::{DateTime, RawDocumentBuf, doc};

use super::{Ended, Rollup, Rollups, Stretch, sum};
use crate::Error;
use crate::clock::later;
use crate::codec::decode_entry;

/// A time that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    Hour,
    Day,
    Week,
}

impl Window {
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// Of what it is put together.
    pub const fn stretch(self) -> Stretch {
        match self {
            Self::Hour => Stretch::Minute,
            Self::Day => Stretch::TenMinutes,
            Self::Week => Stretch::Hour,
        }
    }

    /// Of how many.
    pub const fn parts(self) -> u32 {
        match self {
            Self::Hour => 60,
            Self::Day => 144,
            Self::Week => 168,
        }
    }
}

impl Rollups {
    /// What ended in a window: its stretches, each of which is there, the oldest first. The last one is the present one.
    pub async fn window(&self, window: Window) -> Result<Vec<Rollup>, Error> {
        let stretch = window.stretch();
        let last = stretch.begin(self.connection.now().await?);
        let length = stretch.length();
        let first =
            DateTime::from_millis(last.timestamp_millis() - stretch.milliseconds() * i64::from(window.parts() - 1));
        let mut stored = self.between(stretch, first, later(last, length)).await?.into_iter().peekable();
        let mut all = Vec::new();
        for part in 0..window.parts() {
            let at = later(first, length * part).into();
            all.push(match stored.next_if(|rollup| rollup.at == at) {
                Some(rollup) => rollup,
                // Nothing ended.
                None => Rollup { at, kinds: Vec::new() },
            });
        }
        Ok(all)
    }

    /// What ended in several stretches, by kind.
    pub fn sum(rollups: &[Rollup]) -> Vec<Ended> {
        sum(rollups)
    }

    /// What is stored of the stretches of a length that began from a time up to another, in their order.
    pub(super) async fn between(&self, stretch: Stretch, from: DateTime, to: DateTime) -> Result<Vec<Rollup>, Error> {
        let named = doc! { "_id": { "$gte": stretch.id(from), "$lt": stretch.id(to) } };
        let found = self.documents.find(named).sort(doc! { "_id": 1 });
        let found: Vec<RawDocumentBuf> = self.connection.collect(found.batch_size(1_000)).await?;
        Ok(found.iter().filter_map(|rollup| decode_entry("rollup", rollup)).collect())
    }
}
