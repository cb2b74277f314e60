//! One Docker network of a case.

use serde_json::Value;

use crate::command::Outcome;
use crate::container::Container;
use crate::engine::Engine;

/// A network, removed on drop.
pub struct Network<'e> {
    engine: &'e Engine,
    name: String,
}

impl<'e> Network<'e> {
    /// `docker network create OPTIONS…`, which must succeed.
    pub fn create(engine: &'e Engine, options: &[&str]) -> Self {
        let network = Self { engine, name: engine.unique("net") };
        engine.docker(["network", "create"].iter().chain(options).copied().chain([network.name()])).ok();
        network
    }

    /// The same when it is not known to succeed. Nothing remains if it does.
    pub fn try_create(engine: &'e Engine, options: &[&str]) -> Outcome {
        let network = Self { engine, name: engine.unique("net") };
        engine.docker(["network", "create"].iter().chain(options).copied().chain([network.name()]))
    }

    /// Its name in Docker.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `docker network inspect`.
    pub fn inspect(&self) -> Value {
        let text = self.engine.docker(["network", "inspect", &self.name]).ok();
        let mut list: Value = serde_json::from_str(&text).expect("Docker prints JSON");
        list[0].take()
    }

    /// A container on this network alone, running.
    pub fn run(&self, options: &[&str]) -> Container<'e> {
        Container::run(self.engine, &[&["--network", &self.name], options].concat())
    }

    /// The same when it is not known to succeed. Nothing remains if it does.
    pub fn try_run(&self, options: &[&str]) -> Outcome {
        Container::try_run(self.engine, &[&["--network", &self.name], options].concat())
    }

    /// `docker network connect OPTIONS… CONTAINER`.
    pub fn connect(&self, options: &[&str], container: &Container<'_>) -> Outcome {
        let command = [&["network", "connect"], options, &[&self.name, container.name()]].concat();
        self.engine.docker(command)
    }

    /// `docker network disconnect CONTAINER`.
    pub fn disconnect(&self, container: &Container<'_>) -> Outcome {
        self.engine.docker(["network", "disconnect", &self.name, container.name()])
    }

    /// `docker network rm`.
    pub fn remove(&self) -> Outcome {
        self.engine.docker(["network", "rm", &self.name])
    }
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        self.remove().expect_gone();
    }
}
