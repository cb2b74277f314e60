//! The configuration that a command line asks for.

use std::path::Path;

use paceline_model::{Config, ConfigError};

use crate::args::Run;

/// The file, or the embedded default, with the options over it.
pub fn load(options: &Run, api_socket: Option<&Path>) -> Result<Config, ConfigError> {
    let mut config = match &options.config {
        Some(file) => Config::load(file, &paceline_daemon::host())?,
        None => Config::default(),
    };
    if let Some(dir) = &options.state_dir {
        config.state.dir.clone_from(dir);
    }
    if let Some(socket) = &options.docker_socket {
        config.docker.enabled = true;
        config.docker.socket.clone_from(socket);
    }
    if options.no_docker {
        config.docker.enabled = false;
    }
    if let Some(socket) = api_socket {
        socket.clone_into(&mut config.api.socket);
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;

    fn config(line: &str) -> Config {
        let args = Args::parse_from(line.split(' '));
        let Command::Run(options) = &args.command else { panic!("run") };
        load(options, args.api_socket.as_deref()).unwrap()
    }

    #[test]
    fn options_go_before_the_default() {
        assert_eq!(config("paceline run"), Config::default());
        let config = config("paceline run --state-dir /s --docker-socket /d.sock --api-socket /a.sock");
        assert_eq!(config.state.dir, Path::new("/s"));
        assert_eq!(config.docker.socket, Path::new("/d.sock"));
        assert_eq!(config.api.socket, Path::new("/a.sock"));
    }

    #[test]
    fn docker_can_be_left_out() {
        assert!(!config("paceline run --no-docker").docker.enabled);
    }
}
