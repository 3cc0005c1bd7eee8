//! Settings of a session: ours under `seedbed.`, and how DataFusion's are chosen.

use std::any::Any;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::common::{Result, config_err, plan_err};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::TrackConsumersPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use seedbed_udfs::options::nearest;
use sysinfo::System;

use super::memory::{Limit, Pool, parse_size};
use crate::Options;

/// How long a listing of files is trusted: files that appear are seen after this at the latest.
const LISTING_TTL: Duration = Duration::from_secs(1);

/// How many of the largest users of memory an error names when memory runs out.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::new(5).unwrap();

/// The values of `seedbed.fit_strategy`.
const FIT_STRATEGIES: [&str; 4] = ["auto", "rescan", "spool", "window"];

/// The values of `seedbed.distinct_strategy`.
const DISTINCT_STRATEGIES: [&str; 2] = ["hash", "aggregate"];

/// The values of `seedbed.leakage`.
const LEAKAGE: [&str; 3] = ["warn", "error", "off"];

/// Each setting: its full name, and what SHOW says about it.
const SETTINGS: [(&str, &str); 7] = [
    (
        "seedbed.seed",
        "Seed of every sample and training that is given none. A whole number from 0.",
    ),
    (
        "seedbed.threads",
        "Partitions run at once. A whole number from 1.",
    ),
    (
        "seedbed.memory_limit",
        "Memory of queries and of tables kept in memory, as 4GB or 512MiB.",
    ),
    (
        "seedbed.progress",
        "Whether a bar shows how far a running statement is. true or false.",
    ),
    (
        "seedbed.fit_strategy",
        "How fitted functions read their input twice: 'rescan' runs it again, 'spool' keeps a copy that \
         may go to disk, 'auto' chooses by cost and by what can be run again; 'window' holds all rows in memory, as plain \
         window functions do.",
    ),
    (
        "seedbed.distinct_strategy",
        "How DISTINCT works: 'hash' streams and keeps a fingerprint of 128 bits a distinct row, 'aggregate' keeps the \
         rows and goes to disk where memory is short.",
    ),
    (
        "seedbed.leakage",
        "What happens when something is fitted on rows marked as test, or a feature is made of the target: 'warn', 'error' \
         or 'off'.",
    ),
];

/// The settings under `seedbed.`, changed with SET and seen with SHOW.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Of every sample and training that is given none.
    pub seed: u64,
    /// Partitions run at once; DataFusion's target_partitions, see [`follow`].
    pub threads: usize,
    /// What the session's memory pool goes by.
    pub memory_limit: Limit,
    /// Whether a bar shows how far a statement is.
    pub progress: bool,
    /// `auto`, `rescan`, `spool` or `window`.
    pub fit_strategy: String,
    /// `hash` or `aggregate`.
    pub distinct_strategy: String,
    /// `warn`, `error` or `off`.
    pub leakage: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            threads: all_cores(),
            memory_limit: Limit::default(),
            progress: true,
            fit_strategy: "auto".to_string(),
            distinct_strategy: "hash".to_string(),
            leakage: "warn".to_string(),
        }
    }
}

fn all_cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Does in the session what a SET of `variable` has asked for: `seedbed.threads` and DataFusion's own setting of
/// the same meaning follow each other.
pub fn follow(ctx: &SessionContext, variable: &str) {
    let state = ctx.state_ref();
    let mut state = state.write();
    let options = state.config_mut().options_mut();
    let partitions = options.execution.target_partitions;
    let Some(settings) = options.extensions.get_mut::<Settings>() else {
        return;
    };
    match variable {
        "seedbed.threads" => options.execution.target_partitions = settings.threads,
        "datafusion.execution.target_partitions" => settings.threads = partitions,
        _ => {}
    }
}

impl ConfigExtension for Settings {
    const PREFIX: &'static str = "seedbed";
}

impl ExtensionOptions for Settings {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let value = value.trim();
        match key {
            "seed" => match value.parse() {
                Ok(seed) => self.seed = seed,
                Err(_) => {
                    return config_err!(
                        "seedbed.seed is a whole number from 0 to {}, not '{value}'; \
                         for example SET seedbed.seed = 7",
                        u64::MAX
                    );
                }
            },
            "threads" => match value.parse() {
                Ok(0) | Err(_) => {
                    return config_err!(
                        "seedbed.threads is a whole number from 1, not '{value}'; for example SET seedbed.threads = 4"
                    );
                }
                Ok(threads) => self.threads = threads,
            },
            "memory_limit" => match parse_size(value) {
                Ok(bytes) => self.memory_limit.set(bytes),
                Err(error) => {
                    return config_err!(
                        "seedbed.memory_limit: {error}; for example SET seedbed.memory_limit = '4GB'"
                    );
                }
            },
            "progress" => match value.to_lowercase().as_str() {
                "true" | "on" => self.progress = true,
                "false" | "off" => self.progress = false,
                _ => return config_err!("seedbed.progress is true or false, not '{value}'"),
            },
            "fit_strategy" => self.fit_strategy = choice(key, value, FIT_STRATEGIES)?,
            "distinct_strategy" => {
                self.distinct_strategy = choice(key, value, DISTINCT_STRATEGIES)?
            }
            "leakage" => self.leakage = choice(key, value, LEAKAGE)?,
            _ => {
                let full = format!("seedbed.{key}");
                let names = SETTINGS.map(|(name, _)| name);
                return config_err!(
                    "there is no setting {full}{}; the settings are: {}",
                    meant(&full, names),
                    names.join(", ")
                );
            }
        }
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let values = [
            self.seed.to_string(),
            self.threads.to_string(),
            self.memory_limit.to_string(),
            self.progress.to_string(),
            self.fit_strategy.clone(),
            self.distinct_strategy.clone(),
            self.leakage.clone(),
        ];
        // an extension's entries are listed as they are: the prefix has to be in the key
        SETTINGS
            .into_iter()
            .zip(values)
            .map(|((name, description), value)| ConfigEntry {
                key: name.to_string(),
                value: Some(value),
                description,
            })
            .collect()
    }
}

/// One of the words that a setting takes, in lower case.
fn choice<const N: usize>(key: &str, value: &str, known: [&str; N]) -> Result<String> {
    let lower = value.to_lowercase();
    if known.contains(&lower.as_str()) {
        return Ok(lower);
    }
    let quoted = known.map(|word| format!("'{word}'"));
    let words = match quoted.split_last() {
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    };
    config_err!(
        "seedbed.{key} is {words}, not '{value}'{}",
        meant(&lower, known)
    )
}

/// `; did you mean 'x'?`, when a name is near enough to be meant.
fn meant<const N: usize>(name: &str, known: [&str; N]) -> String {
    nearest(name, known)
        .map(|known| format!("; did you mean '{known}'?"))
        .unwrap_or_default()
}

/// DataFusion's settings for a session opened with these options, ours among them.
pub fn config(options: &Options, memory_limit: Limit) -> Result<SessionConfig> {
    if options.threads == Some(0) {
        return plan_err!("the number of threads is at least 1; leave it out to use all cores");
    }
    if options.batch_size == Some(0) {
        return plan_err!("the batch size is at least 1 row; leave it out for the default");
    }
    let threads = options.threads.unwrap_or_else(all_cores);
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_information_schema(true);
    if let Some(rows) = options.batch_size {
        config = config.with_batch_size(rows);
    }
    // the elimination copies the plans of CTEs, and by being the same plan their uses are known
    let parser = &mut config.options_mut().sql_parser;
    parser.enable_subquery_sort_elimination = false;
    // errors point at the place in the statement
    config.options_mut().sql_parser.collect_spans = true;
    // Its rule fails on a projection `t.a AS a` below two fields of one call: "duplicate unqualified field name".
    config
        .options_mut()
        .optimizer
        .enable_leaf_expression_pushdown = false;
    config.options_mut().extensions.insert(Settings {
        seed: options.seed.unwrap_or_default(),
        threads,
        memory_limit,
        ..Settings::default()
    });
    Ok(config)
}

/// The memory a session opened with these options may use.
pub fn memory_limit(options: &Options) -> Result<Limit> {
    Ok(Limit::new(match options.memory_limit {
        Some(0) => {
            return plan_err!(
                "the memory limit is at least 1 byte; leave it out for 80 % of the machine's memory"
            );
        }
        Some(limit) => limit,
        None => default_memory_limit(),
    }))
}

/// What the session's statements share to run: memory, spill files, caches.
pub fn runtime(memory_limit: Limit) -> Result<Arc<RuntimeEnv>> {
    let pool = TrackConsumersPool::new(Pool::new(memory_limit), NAMED_CONSUMERS);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::OsTmpDirectory),
        )
        .with_object_list_cache_ttl(Some(LISTING_TTL))
        .build_arc()
}

/// 80 % of the machine's memory, or of what a container is allowed.
fn default_memory_limit() -> usize {
    let total = System::new().map_or(0, |mut system| {
        system.refresh_memory();
        let machine = system.total_memory();
        system
            .cgroup_limits()
            .map_or(machine, |limits| limits.total_memory.min(machine))
    });
    // a system that does not tell its memory sets no limit
    match total {
        0 => usize::MAX,
        total => usize::try_from(total / 5 * 4).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::sql::parser::DFParser;
    use futures::TryStreamExt;

    use super::*;

    fn session(options: &Options) -> SessionContext {
        let limit = memory_limit(options).unwrap();
        SessionContext::new_with_config_rt(
            config(options, limit.clone()).unwrap(),
            runtime(limit).unwrap(),
        )
    }

    async fn run(ctx: &SessionContext, sql: &str) -> Result<String> {
        let statement = DFParser::parse_sql(sql)?.pop_front().unwrap();
        let plan = seedbed_boundary::statement_to_plan(ctx.state(), statement).await?;
        let rows = seedbed_boundary::execute(ctx.clone(), plan).await?;
        let batches: Vec<_> = rows.try_collect().await?;
        Ok(pretty_format_batches(&batches)?.to_string())
    }

    fn ours(ctx: &SessionContext) -> Settings {
        let state = ctx.state();
        let settings = state.config_options().extensions.get::<Settings>();
        settings.unwrap().clone()
    }

    #[tokio::test]
    async fn settings_are_set_and_shown() {
        let ctx = session(&Options {
            seed: Some(3),
            ..Options::default()
        });
        assert!(
            run(&ctx, "SHOW seedbed.seed")
                .await
                .unwrap()
                .contains("| 3 ")
        );
        run(&ctx, "SET seedbed.seed = 7").await.unwrap();
        run(&ctx, "SET seedbed.fit_strategy = 'Spool'")
            .await
            .unwrap();
        run(&ctx, "SET seedbed.progress = false").await.unwrap();
        assert!(
            run(&ctx, "SHOW seedbed.seed")
                .await
                .unwrap()
                .contains("| 7 ")
        );
        let expected = Settings {
            seed: 7,
            progress: false,
            fit_strategy: "spool".to_string(),
            ..Settings {
                memory_limit: Limit::new(default_memory_limit()),
                ..Settings::default()
            }
        };
        assert_eq!(ours(&ctx), expected);
        let all = run(&ctx, "SHOW ALL").await.unwrap();
        let about = run(
            &ctx,
            "SELECT name, description FROM information_schema.df_settings WHERE name LIKE 'seedbed.%'",
        )
        .await
        .unwrap();
        for (name, description) in SETTINGS {
            assert!(all.contains(name), "{name}");
            assert!(
                about.contains(name) && about.contains(description),
                "{about}"
            );
        }
    }

    #[tokio::test]
    async fn a_wrong_value_is_answered_with_the_right_ones() {
        let ctx = session(&Options::default());
        for (set, answer) in [
            ("seed = -1", "whole number from 0"),
            ("seed = 'x'", "SET seedbed.seed = 7"),
            ("progress = 'maybe'", "true or false"),
            ("fit_strategy = 'spol'", "did you mean 'spool'?"),
            ("threads = 0", "SET seedbed.threads = 4"),
            ("memory_limit = '4 parsecs'", "'parsecs' is not a unit"),
            ("sed = 1", "did you mean 'seedbed.seed'?"),
        ] {
            let error = run(&ctx, &format!("SET seedbed.{set}")).await.unwrap_err();
            assert!(error.to_string().contains(answer), "{set}: {error}");
        }
        let expected = Settings {
            memory_limit: Limit::new(default_memory_limit()),
            ..Settings::default()
        };
        assert_eq!(ours(&ctx), expected);
    }

    #[tokio::test]
    async fn threads_and_memory_can_change() {
        let ctx = session(&Options {
            threads: Some(3),
            memory_limit: Some(100_000),
            ..Options::default()
        });
        assert_eq!(ours(&ctx).threads, 3);
        run(&ctx, "SET seedbed.threads = 2").await.unwrap();
        follow(&ctx, "seedbed.threads");
        assert_eq!(ctx.state().config().target_partitions(), 2);
        let set = "SET datafusion.execution.target_partitions = 5";
        run(&ctx, set).await.unwrap();
        follow(&ctx, "datafusion.execution.target_partitions");
        assert_eq!(ours(&ctx).threads, 5);

        let much = "SELECT count(DISTINCT value) FROM generate_series(1, 100000)";
        assert!(run(&ctx, much).await.is_err());
        let set = "SET seedbed.memory_limit = '1GB'";
        run(&ctx, set).await.unwrap();
        assert!(run(&ctx, much).await.is_ok());
        let shown = run(&ctx, "SHOW seedbed.memory_limit").await.unwrap();
        assert!(shown.contains("1GB"), "{shown}");
    }

    #[test]
    fn options_become_datafusion_settings() {
        let options = Options {
            threads: Some(3),
            batch_size: Some(100),
            memory_limit: Some(1 << 20),
            ..Options::default()
        };
        let ctx = session(&options);
        let state = ctx.state();
        assert_eq!(state.config().target_partitions(), 3);
        assert_eq!(state.config().batch_size(), 100);
        assert!(state.config_options().sql_parser.collect_spans);
        let runtime = ctx.runtime_env();
        assert_eq!(
            runtime.cache_manager.get_list_files_cache_ttl(),
            Some(LISTING_TTL)
        );
        for options in [
            Options {
                threads: Some(0),
                ..Options::default()
            },
            Options {
                batch_size: Some(0),
                ..Options::default()
            },
        ] {
            assert!(config(&options, Limit::default()).is_err());
        }
        let nothing = Options {
            memory_limit: Some(0),
            ..Options::default()
        };
        let error = memory_limit(&nothing).unwrap_err().to_string();
        assert!(error.contains("80 %"), "{error}");
        assert!(default_memory_limit() > 1 << 20);
    }

    #[tokio::test]
    async fn when_memory_runs_out_the_largest_users_are_named() {
        let ctx = session(&Options {
            memory_limit: Some(100_000),
            ..Options::default()
        });
        let error = run(
            &ctx,
            "SELECT count(DISTINCT value) FROM generate_series(1, 1000000)",
        )
        .await
        .unwrap_err()
        .to_string();
        assert!(error.contains("top memory consumers"), "{error}");
    }
}
