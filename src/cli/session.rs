//! A session at work: runs statements, shows progress, writes results, cancels.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use futures::StreamExt;
use seedbed::report::{self, Request};
use seedbed::{Answer, Options, Seedbed, Statement};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::errors::{self, Source};
use super::output::pictures::{self, How, Kept};
use super::output::values::counted;
use super::output::{self, Output};
use super::progress::{Bar, duration};
use super::style;

/// How often the bar is drawn.
const TICK: Duration = Duration::from_millis(100);
/// How long a cancelled statement may take to stop before the prompt returns without it.
const STOP: Duration = Duration::from_secs(5);

/// Why a script ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A statement failed; the error has been shown.
    Failed,
    Cancelled,
    /// The reader of the results has gone.
    ClosedPipe,
}

/// What is shown beside results.
#[derive(Debug, Clone, Copy)]
pub struct Talk {
    pub quiet: bool,
    /// Rows and time of each statement.
    pub timing: bool,
    /// And the most memory so far.
    pub memory: bool,
}

pub struct Session {
    pub seedbed: Seedbed,
    pub output: Output,
    pub talk: Talk,
    /// How pictures are shown, and those of the last result; at the prompt.
    pub pictures: Option<(How, Kept)>,
    runtime: Runtime,
    /// Counts Ctrl-C.
    interrupts: watch::Receiver<u64>,
}

/// What a running statement sends.
enum Event {
    Schema(SchemaRef),
    Rows(RecordBatch),
    Done(String),
    Failed(DataFusionError),
}

/// How a statement ended.
enum Ended {
    Rows(u64),
    Done(String),
}

enum Failure {
    Error(DataFusionError),
    Cancelled,
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Self::Error(error)
    }
}

impl Session {
    pub fn open(options: Options, output: Output, talk: Talk) -> Result<Self> {
        let threads = options.threads.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("seedbed")
            .enable_all()
            .build()?;
        let seedbed = {
            let _inside = runtime.enter();
            Seedbed::open(options)?
        };
        let interrupts = listen(&runtime);
        Ok(Self {
            seedbed,
            output,
            talk,
            pictures: None,
            runtime,
            interrupts,
        })
    }

    /// Runs all statements of a text.
    pub fn run_text(&mut self, source: &Source<'_>, keep_going: bool) -> Result<(), Stop> {
        let statements = match self.seedbed.split(source.text) {
            Ok(statements) => statements,
            Err(error) => {
                self.show_error(&error, source, 0..source.text.len());
                return Err(Stop::Failed);
            }
        };
        let mut failed = false;
        for statement in statements {
            match self.run_statement(&statement, source) {
                Ok(()) => {}
                Err(Stop::Failed) if keep_going => failed = true,
                Err(stop) => return Err(stop),
            }
        }
        if failed { Err(Stop::Failed) } else { Ok(()) }
    }

    fn run_statement(&mut self, statement: &Statement, source: &Source<'_>) -> Result<(), Stop> {
        let started = Instant::now();
        let mut bar = Bar::new(self.talk.quiet);
        let ended = self.execute(statement, &mut bar);
        bar.end();
        if ended.is_err() {
            self.output.abandon();
        }
        if self.output.is_closed() {
            return Err(Stop::ClosedPipe);
        }
        self.show_notices();
        match ended {
            Ok(ended) => {
                self.show_end(&ended, started.elapsed());
                if matches!(ended, Ended::Rows(1)) {
                    self.show_picture();
                }
                Ok(())
            }
            Err(Failure::Cancelled) => {
                self.say("cancelled");
                Err(Stop::Cancelled)
            }
            Err(Failure::Error(error)) => {
                self.show_error(&error, source, statement.span.clone());
                Err(Stop::Failed)
            }
        }
    }

    /// Runs the statement on the workers while this thread writes what comes of it.
    fn execute(&mut self, statement: &Statement, bar: &mut Bar) -> Result<Ended, Failure> {
        let (sender, mut events) = mpsc::channel(2);
        let task = self
            .runtime
            .spawn(drive(self.seedbed.clone(), statement.clone(), sender));
        let progress = self.seedbed.progress();
        let shown = self.seedbed.shows_progress();
        let mut interrupts = self.interrupts.clone();
        let output = &mut self.output;
        let mut kept = self.pictures.as_mut().map(|(_, kept)| kept);
        let shows_rows = output.format.streams() && output.is_terminal();
        self.runtime.block_on(async {
            let mut ticks = tokio::time::interval(TICK);
            let mut rows = 0;
            let mut done = None;
            let ended = loop {
                tokio::select! {
                    biased;
                    changed = interrupts.changed() => {
                        if changed.is_ok() {
                            break Err(Failure::Cancelled);
                        }
                    }
                    event = events.recv() => match event {
                        Some(Event::Schema(schema)) => {
                            if let Some(kept) = &mut kept {
                                kept.begin(&schema);
                            }
                            if let Err(error) = output.begin(schema) {
                                break Err(error.into());
                            }
                        }
                        Some(Event::Rows(batch)) => {
                            if shows_rows {
                                bar.end();
                            }
                            rows += batch.num_rows() as u64;
                            let taken = kept.as_mut().map_or(Ok(()), |kept| kept.take(&batch));
                            if let Err(error) = taken.and_then(|()| output.write(&batch)) {
                                break Err(error.into());
                            }
                        }
                        Some(Event::Done(message)) => done = Some(message),
                        Some(Event::Failed(error)) => break Err(error.into()),
                        None => {
                            bar.end();
                            break match done.take() {
                                Some(message) => Ok(Ended::Done(message)),
                                None => Ok(Ended::Rows(rows)),
                            };
                        }
                    },
                    _ = ticks.tick(), if shown => bar.tick(&progress),
                }
            };
            drop(events);
            bar.end();
            let outcome = finish(task, ended.is_err()).await;
            progress.finish();
            // A panic ends the channel like a result does.
            outcome?;
            let ended = ended?;
            output.end()?;
            Ok(ended)
        })
    }

    /// Writes a report, which appears under its name only when complete.
    pub fn report(&mut self, request: Request, path: &Path) -> Result<(), Stop> {
        let started = Instant::now();
        let mut bar = Bar::new(self.talk.quiet);
        let progress = self.seedbed.progress();
        let mut interrupts = self.interrupts.clone();
        let seedbed = self.seedbed.clone();
        let work = self
            .runtime
            .spawn(async move { report::html(&seedbed, request).await });
        let page = self.runtime.block_on(async {
            let mut ticks = tokio::time::interval(TICK);
            tokio::pin!(work);
            loop {
                tokio::select! {
                    biased;
                    changed = interrupts.changed() => if changed.is_ok() {
                        work.abort();
                        break Err(Failure::Cancelled);
                    },
                    done = &mut work => break match done {
                        Ok(page) => page.map_err(Failure::from),
                        Err(error) => Err(exec_datafusion_err!("the report broke off: {error}").into()),
                    },
                    _ = ticks.tick() => bar.tick(&progress),
                }
            }
        });
        bar.end();
        self.show_notices();
        let written =
            page.and_then(|page| output::write_whole(path, page.as_bytes()).map_err(Failure::from));
        match written {
            Ok(()) => {
                self.say(&format!("{} is written", path.display()));
                self.show_end(&Ended::Done(String::new()), started.elapsed());
                Ok(())
            }
            Err(Failure::Cancelled) => {
                self.say("cancelled");
                Err(Stop::Cancelled)
            }
            Err(Failure::Error(error)) => {
                tell(&format!("error: {}", error.find_root().message()));
                Err(Stop::Failed)
            }
        }
    }

    /// Runs a statement of our own and gives its rows; for lists and completion.
    pub fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        query(&self.seedbed, self.runtime.handle(), sql)
    }

    pub fn handle(&self) -> tokio::runtime::Handle {
        self.runtime.handle().clone()
    }

    /// Forgets Ctrl-C pressed before now: at the prompt it belongs to the line editor.
    pub fn forget_interrupts(&mut self) {
        self.interrupts.mark_unchanged();
    }

    pub fn show_error(
        &self,
        error: &DataFusionError,
        source: &Source<'_>,
        span: std::ops::Range<usize>,
    ) {
        let begin = span.start;
        for report in errors::reports(error, source.text, span, self.seedbed.context()) {
            let text = errors::render(&report, source, begin, style::on_stderr());
            tell(text.trim_end());
        }
    }

    fn show_notices(&self) {
        for notice in self.seedbed.take_notices() {
            self.say(&format!(
                "{} {notice}",
                style::paint(style::on_stderr(), style::help(), "note:")
            ));
        }
    }

    fn show_end(&self, ended: &Ended, elapsed: Duration) {
        let mut parts = Vec::new();
        match ended {
            Ended::Done(message) => {
                if !message.is_empty() {
                    self.say(message);
                }
            }
            Ended::Rows(rows) => parts.push(counted(*rows, "row")),
        }
        if self.talk.timing {
            parts.push(duration(elapsed));
            if self.talk.memory
                && let Some(peak) = peak_memory()
            {
                parts.push(format!("peak memory {}", indicatif::DecimalBytes(peak)));
            }
            let line = parts.join(", ");
            tell(&style::paint(style::on_stderr(), style::faint(), &line));
        }
    }

    /// The picture of a result of one row, as image_grid gives, below it.
    fn show_picture(&mut self) {
        // without a picture, or a place to show it, the row says it all
        let pictures = match &self.pictures {
            Some((_, kept)) => kept.pictures().unwrap_or_default(),
            None => return,
        };
        if let [one] = pictures.as_slice()
            && let Ok(drawn) = pictures::drawn(self.how_pictures(), one, self.output.view().width)
        {
            // a terminal that is gone is noted with the next result
            let _ = self.output.put(&drawn);
        }
    }

    /// How pictures are shown where results go.
    pub fn how_pictures(&self) -> How {
        match &self.pictures {
            Some((how, _)) if self.output.is_terminal() => {
                how.on_terminal(|name| std::env::var(name).ok())
            }
            _ => How::Off,
        }
    }

    /// To the person, unless they want quiet.
    pub fn say(&self, text: &str) {
        if !self.talk.quiet {
            tell(text);
        }
    }

    /// Sends results elsewhere; the file so far is completed.
    pub fn redirect(&mut self, output: Output) -> Result<()> {
        std::mem::replace(&mut self.output, output).close()
    }

    /// Ends the session. The file of results gets its name only if all went well.
    pub fn close(self, complete: bool) -> Result<()> {
        let path = self.output.path().map(Path::to_path_buf);
        let results = self.output.results();
        let quiet = self.talk.quiet;
        // Tasks that were cancelled get a moment to remove what they have half written.
        if complete {
            self.output.close()?;
            self.runtime.shutdown_background();
        } else {
            drop(self.output);
            self.runtime.shutdown_timeout(Duration::from_secs(1));
        }
        if let Some(path) = path.filter(|_| complete && results == 0 && !quiet) {
            tell(&format!(
                "no statement gave a result, so {} is not written",
                path.display()
            ));
        }
        Ok(())
    }
}

/// Runs one statement and gives its rows.
pub fn query(
    seedbed: &Seedbed,
    runtime: &tokio::runtime::Handle,
    sql: &str,
) -> Result<Vec<RecordBatch>> {
    let statements = seedbed.split(sql)?;
    runtime.block_on(async {
        let mut batches = Vec::new();
        for statement in &statements {
            if let Answer::Rows { mut rows, .. } = seedbed.run(statement).await? {
                while let Some(batch) = rows.next().await {
                    batches.push(batch?);
                }
            }
        }
        Ok(batches)
    })
}

/// On the workers: what comes of the statement, until nobody listens.
async fn drive(seedbed: Seedbed, statement: Statement, events: mpsc::Sender<Event>) {
    // An error in sending means that the statement was cancelled.
    let _ = match seedbed.run(&statement).await {
        Err(error) => events.send(Event::Failed(error)).await,
        Ok(Answer::Done { message }) => events.send(Event::Done(message)).await,
        Ok(Answer::Rows { schema, mut rows }) => {
            let mut sent = events.send(Event::Schema(schema)).await;
            while sent.is_ok() {
                sent = match rows.next().await {
                    Some(Ok(batch)) => events.send(Event::Rows(batch)).await,
                    Some(Err(error)) => {
                        let _ = events.send(Event::Failed(error)).await;
                        break;
                    }
                    None => break,
                };
            }
            sent
        }
    };
}

/// Waits for the task to be gone. A panic in it is an error of this statement, not of the program.
async fn finish(task: JoinHandle<()>, cancel: bool) -> Result<()> {
    if cancel {
        task.abort();
    }
    match tokio::time::timeout(STOP, task).await {
        Ok(Err(error)) if error.is_panic() => {
            let panic = error.into_panic();
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("unknown");
            Err(DataFusionError::Internal(message.to_string()))
        }
        Ok(_) => Ok(()),
        Err(_) if cancel => Ok(()),
        Err(_) => Err(exec_datafusion_err!("the statement does not end")),
    }
}

/// Counts Ctrl-C. From here on it no longer ends the program by itself.
fn listen(runtime: &Runtime) -> watch::Receiver<u64> {
    let (sender, receiver) = watch::channel(0);
    runtime.spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            sender.send_modify(|n| *n += 1);
        }
    });
    receiver
}

/// To standard error; if that is closed nobody is there to be told.
pub fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The most memory the process has held so far, in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
