//! Packet trace: what every node decided about a packet, in words.

use std::fmt::{self, Write};

/// Bytes of text for one packet; what exceeds them is cut.
const TEXT: usize = 4096;

/// The way of one packet through the graph.
#[derive(Clone, Debug)]
pub struct TraceRecord {
    /// Nanoseconds since the worker started.
    pub nanos: u64,
    /// One line per node: `name: what it decided`.
    pub text: String,
}

/// Records of one worker. All memory is taken when a trace is asked for, so that writing takes none.
#[derive(Default)]
pub struct Trace {
    records: Vec<TraceRecord>,
    used: usize,
    only: Option<u16>,
}

impl Trace {
    /// Room for `count` more packets, received on `only` or on any interface. Called between two vectors.
    pub fn add(&mut self, count: usize, only: Option<u16>) {
        self.records.truncate(self.used);
        self.records
            .resize_with(self.used + count, || TraceRecord { nanos: 0, text: String::with_capacity(TEXT) });
        self.only = only;
    }

    /// Forgets all records.
    pub fn clear(&mut self) {
        (self.records, self.used) = (Vec::new(), 0);
    }

    /// Whether packets received on `interface` are wanted still.
    #[inline(always)]
    pub fn wants(&self, interface: u16) -> bool {
        self.used < self.records.len() && self.only.is_none_or(|only| only == interface)
    }

    /// Whether any packet on its way may carry a record.
    #[inline(always)]
    pub fn is_active(&self) -> bool {
        !self.records.is_empty()
    }

    /// Takes the next record.
    pub fn begin(&mut self, nanos: u64) -> Option<u32> {
        let record = self.records.get_mut(self.used)?;
        record.nanos = nanos;
        self.used += 1;
        Some((self.used - 1) as u32)
    }

    /// Writes a line.
    pub fn line(&mut self, record: u32, node: &str, text: fmt::Arguments<'_>) {
        if let Some(record) = self.records.get_mut(record as usize) {
            let mut out = Bounded(&mut record.text);
            // An error only says that the record is full.
            let _ = writeln!(out, "{node}: {text}");
        }
    }

    /// The records so far.
    pub fn records(&self) -> &[TraceRecord] {
        &self.records[..self.used]
    }
}

/// Writes into a string as long as no memory is needed for it.
struct Bounded<'a>(&'a mut String);

impl Write for Bounded<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if self.0.len() + s.len() > self.0.capacity() {
            return Err(fmt::Error);
        }
        self.0.push_str(s);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_bounded_in_number_and_size() {
        let mut trace = Trace::default();
        assert!(!trace.is_active() && !trace.wants(1));
        trace.add(2, Some(1));
        assert!(trace.wants(1) && !trace.wants(2));
        let first = trace.begin(5).expect("room for two");
        assert!(trace.begin(6).is_some() && trace.begin(7).is_none());
        for _ in 0..10_000 {
            trace.line(first, "node", format_args!("{}", "word"));
        }
        assert_eq!(trace.records().len(), 2);
        assert!(trace.records()[0].text.len() <= trace.records()[0].text.capacity());
        assert!(trace.records()[0].text.starts_with("node: word\n"));
        trace.line(99, "node", format_args!("no such record"));
    }
}
