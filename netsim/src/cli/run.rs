//! One run, and what it leaves behind.

use std::io::Write;
use std::path::PathBuf;

use bowline_netsim::quic::{self, Summary};
use bowline_netsim::{Scenario, artifact, report};
use clap::Args;

use super::options::Options;
use super::{Failure, told, write_file};

#[derive(Debug, Args)]
pub(super) struct Run {
    /// A name from the list, or a TOML file.
    scenario: String,
    /// The same seed gives the same run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    options: Options,
    /// Runs twice, and fails with the first difference if there is one.
    #[arg(long)]
    twice: bool,
    /// Writes a report with plots into this file.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Writes the packets into this file, for Wireshark.
    #[arg(long, value_name = "FILE.pcapng")]
    pcap: Option<PathBuf>,
    /// Writes what happened to packets and to the network into this file, one JSON object a line.
    #[arg(long, value_name = "FILE.jsonl")]
    events: Option<PathBuf>,
    /// One JSON object in each line: the changes to the network, then a summary.
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(super) fn perform(self, out: &mut dyn Write) -> Result<(), Failure> {
        let scenario = self.options.apply(Scenario::find(&self.scenario)?);
        let workload = self.options.workload();
        let mut run = quic::Run::new(&scenario).seed(self.seed).workload(workload);
        if self.pcap.is_some() {
            run = run.capture();
        }
        let summary = run.run()?;
        let complaint = self.complaint(&run, &summary)?;
        self.write_files(&scenario, &summary)?;
        if self.json {
            told::changes(&summary, out)?;
        } else {
            told::text(&scenario, &summary, workload, out)?;
        }
        if complaint.is_some()
            && let Some(shrunk) = self.options.shrink(&scenario, &summary)
        {
            told::shrunk(&shrunk, &self.options.test(&shrunk), self.json, out)?;
        }
        if self.json {
            writeln!(out, "{}", told::summary(&summary, self.options.word(), complaint.as_deref()))?;
        }
        match complaint {
            Some(why) => Err(Failure::Failed { why, replay: self.options.replay(&self.scenario, self.seed) }),
            None => Ok(()),
        }
    }

    fn complaint(&self, run: &quic::Run<'_>, summary: &Summary) -> Result<Option<String>, Failure> {
        if self.twice
            && let Some(divergence) = summary.trace.divergence(&run.run()?.trace)
        {
            return Ok(Some(divergence.to_string()));
        }
        Ok(self.options.complaint(summary))
    }

    fn write_files(&self, scenario: &Scenario, summary: &Summary) -> Result<(), Failure> {
        if let Some(path) = &self.report {
            let page = report::run_html(scenario, summary, self.options.workload())?;
            write_file(path, |file| file.write_all(page.as_bytes()))?;
        }
        if let Some(path) = &self.pcap {
            write_file(path, |file| artifact::write_capture(&summary.capture, file))?;
        }
        if let Some(path) = &self.events {
            write_file(path, |file| artifact::write_events(summary, file))?;
        }
        Ok(())
    }
}
