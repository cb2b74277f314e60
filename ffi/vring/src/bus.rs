//! Memory that its owner cuts off.
//!
//! A file that is mapped here can be made shorter by whoever else has it; what is touched behind its end raises SIGBUS, which would
//! end this process and with it all other ports. Seals of a memfd forbid that, but memory without them is usual (DPDK's own,
//! files in `/dev/shm`, huge pages). So the signal is caught: a mapping that is known here is replaced by empty memory, and marked.
//! The instruction that met the hole then goes on with zeros, as if the guest had written them.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use libc::{c_int, c_void, siginfo_t};

/// Mappings that can be watched at a time, in the whole process.
const PLACES: usize = 4096;

/// A watched mapping; not in use while `end` is 0.
struct Place {
    taken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    gone: AtomicBool,
}

static TABLE: [Place; PLACES] = [const {
    Place {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        gone: AtomicBool::new(false),
    }
}; PLACES];

/// What was to be done about the signal before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Watches one mapping as long as it lives.
pub struct Watch(usize);

impl Watch {
    /// Watches the mapping of `len` bytes at `start`.
    ///
    /// # Errors
    /// Too many are watched already, or the signal cannot be caught.
    pub fn new(start: usize, len: usize) -> io::Result<Watch> {
        catch()?;
        let free = |place: &Place| {
            !place.taken.load(Ordering::Relaxed)
                && place.taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let at = TABLE.iter().position(free).ok_or_else(|| {
            io::Error::other(format!("{PLACES} regions of guests' memory are mapped, and no more can be"))
        })?;
        let place = &TABLE[at];
        place.gone.store(false, Ordering::Relaxed);
        place.start.store(start, Ordering::Relaxed);
        place.end.store(start + len, Ordering::Release);
        Ok(Watch(at))
    }

    /// Whether some of the mapping was cut off.
    #[inline]
    pub fn is_gone(&self) -> bool {
        TABLE[self.0].gone.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let place = &TABLE[self.0];
        place.end.store(0, Ordering::Release);
        place.taken.store(false, Ordering::Release);
    }
}

/// Sets the handler up, once.
fn catch() -> io::Result<()> {
    static CAUGHT: Mutex<bool> = Mutex::new(false);
    let mut caught = CAUGHT.lock().unwrap_or_else(PoisonError::into_inner);
    if *caught {
        return Ok(());
    }
    // SAFETY: `action` and `before` are whole structures of the C library, for which zeros are a valid value; the handler does
    // only what a signal handler may: atomics and system calls.
    unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut before) != 0 {
            return Err(io::Error::last_os_error());
        }
        // Kept before it is replaced, as the handler may need it at once.
        BEFORE.get_or_init(|| before);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        if libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    *caught = true;
    Ok(())
}

/// Puts empty memory in the place of a watched mapping; any other address is for whoever was asked before.
extern "C" fn handler(_signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel gives a valid `siginfo_t` to a handler with SA_SIGINFO, and `si_addr` is what SIGBUS has.
    let address = unsafe { (*info).si_addr() } as usize;
    for place in &TABLE {
        let end = place.end.load(Ordering::Acquire);
        let start = place.start.load(Ordering::Relaxed);
        if address < start || address >= end {
            continue;
        }
        place.gone.store(true, Ordering::Relaxed);
        // SAFETY: the range is a whole mapping of this crate's, which is there as long as it is watched; memory that is shared
        // with another process has no value that must stay.
        let put = unsafe {
            libc::mmap(
                start as *mut c_void,
                end - start,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if put != libc::MAP_FAILED {
            return;
        }
    }
    if let Some(before) = BEFORE.get() {
        // SAFETY: a structure that the kernel itself filled in. The instruction is met again, and then by that handler.
        unsafe { libc::sigaction(libc::SIGBUS, before, ptr::null_mut()) };
    }
}
