//! The engine that a configuration asks for.

use std::time::Duration;

use paceline_buf::PoolConfig;
use paceline_model::Config;
use paceline_model::config::WorkerMode;
use paceline_worker::{Engine, EngineConfig, EngineError, Mode};

/// Takes the packet memory and starts the workers.
///
/// # Errors
/// Memory that cannot be had, a core that this process may not use.
pub fn start(config: &Config) -> Result<Engine, EngineError> {
    let buffers = &config.buffers;
    let engine = Engine::start(&EngineConfig {
        pool: PoolConfig {
            count: buffers.count as usize,
            size: buffers.size as usize,
            huge_pages: buffers.hugepages,
        },
        cores: cores(config),
        mode: match config.workers.mode {
            WorkerMode::Adaptive => Mode::Adaptive,
            WorkerMode::Poll => Mode::Poll,
            WorkerMode::Interrupt => Mode::Interrupt,
        },
        idle_spin: Duration::from_micros(config.workers.idle_spin_us.into()),
    })?;
    if let Some(why) = engine.pool().region().fallback() {
        tracing::warn!(
            "packet buffers are on 4 KiB pages: {why}. It costs translations (TLB misses) for packets and tables, more with \
             more flows; buffers.hugepages = \"never\" ends this warning"
        );
    }
    Ok(engine)
}

/// The core of each worker: those configured, or the last one that the process may use.
fn cores(config: &Config) -> Vec<Option<usize>> {
    match &config.workers.cores {
        Some(cores) => cores.iter().copied().map(Some).collect(),
        None => vec![core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).max()],
    }
}
