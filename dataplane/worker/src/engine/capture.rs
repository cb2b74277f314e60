//! Captures: replicas of an interface's frames, queued for control to write to a file.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crossbeam::queue::ArrayQueue;
use paceline_graph::Capture;

use super::{Engine, EngineError};

/// Frames that may wait to be written. Their buffers are the pool's, so it is a fraction of it.
const QUEUE: usize = 1024;

impl Engine {
    /// Starts to replicate the frames that enter and leave by an interface. The queue that is returned must be emptied and
    /// its packets freed, until after [`capture_stop`](Engine::capture_stop).
    ///
    /// # Errors
    /// No such interface, one capture already running on it, a worker that does not answer.
    pub fn capture_start(&mut self, interface: &str, snap: u32) -> Result<Arc<Capture>, EngineError> {
        let unknown = || EngineError::Unknown(interface.into());
        let index = self.find(interface).ok_or_else(unknown)?;
        let attached = self.interfaces[index as usize].as_mut().ok_or_else(unknown)?;
        if attached.capture.is_some() {
            return Err(EngineError::Capturing(interface.into()));
        }
        let capture = Arc::new(Capture { queue: ArrayQueue::new(QUEUE), lost: AtomicU64::new(0), snap });
        attached.capture = Some(Arc::clone(&capture));
        if let Err(error) = self.publish() {
            self.forget_capture(index);
            return Err(error);
        }
        Ok(capture)
    }

    /// Ends a capture: when it returns, no more frames are queued.
    ///
    /// # Errors
    /// No such interface, a worker that does not answer.
    pub fn capture_stop(&mut self, interface: &str) -> Result<(), EngineError> {
        let unknown = || EngineError::Unknown(interface.into());
        let index = self.find(interface).ok_or_else(unknown)?;
        self.forget_capture(index);
        self.publish()
    }

    fn forget_capture(&mut self, index: u16) {
        if let Some(attached) = &mut self.interfaces[index as usize] {
            attached.capture = None;
        }
    }
}
