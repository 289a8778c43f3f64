//! Measuring the network, for real: orchestrator, workers and the tools that they run, as processes in namespaces of
//! their own. Whatever happens to them, tasks are marked and nothing is left behind.

mod gateway;
mod launcher;
mod lost;
mod pairs;
mod place;
mod usage;
