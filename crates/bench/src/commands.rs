//! What MongoDB was asked to do, by its own count.

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

/// Commands of which fewer than this come with each job are of the programs that watch.
const FEW: f64 = 0.01;
/// What connections, monitors and benchmarks do.
const OF_OTHERS: [&str; 4] = ["hello", "isMaster", "ping", "serverStatus"];

/// How often each command has come since the server's start.
#[derive(Clone, Debug)]
pub struct Commands(Vec<(String, i64)>);

impl Commands {
    pub async fn read(database: &Database) -> anyhow::Result<Self> {
        let admin = database.client().database("admin");
        let status = admin.run_command(doc! { "serverStatus": 1 }).await?;
        Ok(Self(totals(&status)))
    }

    /// What came with each of so many jobs, the most frequent first: `update 2.00, findAndModify 1.00`.
    pub fn each(&self, later: &Self, jobs: usize) -> String {
        let before = |name: &str| self.0.iter().find(|(known, _)| known == name).map_or(0, |(_, total)| *total);
        let each = later.0.iter().map(|(name, total)| (name, (total - before(name)) as f64 / jobs as f64));
        let mut each: Vec<_> =
            each.filter(|(name, count)| *count >= FEW && !OF_OTHERS.contains(&name.as_str())).collect();
        each.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        // Of nothing, `sum` makes -0.
        let sum = each.iter().fold(0.0, |sum, (_, count)| sum + count);
        let words: Vec<String> = each.iter().map(|(name, count)| format!("{name} {count:.2}")).collect();
        format!("{sum:.2} ({})", words.join(", "))
    }
}

fn totals(status: &Document) -> Vec<(String, i64)> {
    let commands = status.get_document("metrics").and_then(|metrics| metrics.get_document("commands"));
    let total = |(name, counts): (&String, &Bson)| {
        let total = counts.as_document()?.get("total")?;
        Some((name.clone(), total.as_i64().or_else(|| total.as_i32().map(i64::from))?))
    };
    commands.into_iter().flatten().filter_map(total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(find: i64, update: i32) -> Commands {
        let commands = doc! {
            "<UNKNOWN>": 3_i64,
            "find": { "failed": 0_i64, "total": find },
            "hello": { "total": find * 10 },
            "update": { "arrayFilters": 0_i64, "failed": 0_i64, "total": update },
        };
        Commands(totals(&doc! { "metrics": { "commands": commands } }))
    }

    #[test]
    fn what_came_with_each_job_is_the_difference_without_what_programs_do_by_themselves() {
        assert_eq!(status(100, 7).each(&status(150, 207), 100), "2.50 (update 2.00, find 0.50)");
        assert_eq!(status(100, 7).each(&status(100, 7), 100), "0.00 ()");
    }
}
