//! Traces: the way of some packets through the graph, in words.

use paceline_graph::{Trace, TraceRecord};

use super::{Engine, EngineError};
use crate::command::{Command, Reply};

/// Most packets that a trace can be asked for, and most records that are kept. Each worker takes 4 KiB for each at once, so
/// that it takes no memory while packets come.
pub(super) const MAX_TRACES: usize = 1000;

/// What was asked for and what came of it.
#[derive(Default)]
pub(super) struct Tracing {
    /// Packets that are still wanted. Every worker is ready to record that many.
    left: usize,
    /// Interface that they are to come in by; any, if there is none.
    only: Option<u16>,
    /// Oldest first.
    records: Vec<TraceRecord>,
}

impl Engine {
    /// Records the way of the next `count` packets (1 to 1000) that are received on `interface`, or anywhere. Takes the place of
    /// what an earlier call has still to record.
    ///
    /// # Errors
    /// No such interface, a count out of range, a worker that does not answer.
    pub fn trace_add(&mut self, count: usize, interface: Option<&str>) -> Result<(), EngineError> {
        let only = match interface {
            Some(name) => Some(self.find(name).ok_or_else(|| EngineError::Unknown(name.into()))?),
            None => None,
        };
        if !(1..=MAX_TRACES).contains(&count) {
            return Err(EngineError::Traces(count));
        }
        self.collect()?;
        (self.tracing.left, self.tracing.only) = (count, only);
        self.arm(count).map(drop)
    }

    /// The traces recorded so far, oldest first; the newest thousand of them.
    ///
    /// # Errors
    /// A worker that does not answer.
    pub fn trace_records(&mut self) -> Result<Vec<TraceRecord>, EngineError> {
        self.collect()?;
        Ok(self.tracing.records.clone())
    }

    /// Forgets all traces and stops tracing.
    ///
    /// # Errors
    /// A worker that does not answer.
    pub fn trace_clear(&mut self) -> Result<(), EngineError> {
        self.tracing = Tracing::default();
        self.arm(0).map(drop)
    }

    /// Takes what the workers have recorded, and stops them when it is as much as was asked for.
    fn collect(&mut self) -> Result<(), EngineError> {
        if self.tracing.left == 0 {
            return Ok(());
        }
        let mut new = self.arm(self.tracing.left)?;
        // Each worker may have seen as many as were wanted in all: the first of them count.
        new.sort_by_key(|record| record.nanos);
        new.truncate(self.tracing.left);
        self.tracing.left -= new.len();
        self.tracing.records.extend(new);
        let excess = self.tracing.records.len().saturating_sub(MAX_TRACES);
        self.tracing.records.drain(..excess);
        if self.tracing.left == 0 {
            self.arm(0)?;
        }
        Ok(())
    }

    /// Makes every worker ready for `count` records; what they had recorded.
    fn arm(&mut self, count: usize) -> Result<Vec<TraceRecord>, EngineError> {
        let mut records = Vec::new();
        for worker in 0..self.workers.len() {
            let mut trace = Trace::default();
            if count > 0 {
                trace.add(count, self.tracing.only);
            }
            if let Reply::Traced(old) = self.order(worker, Command::Trace(trace))? {
                records.extend_from_slice(old.records());
            }
        }
        Ok(records)
    }
}
