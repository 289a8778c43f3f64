//! Files that a run writes besides what it prints.

use std::path::PathBuf;

use clap::Args;
use sluice_conformance::case::Case;
use sluice_conformance::catalogue::Catalogue;
use sluice_conformance::report::{self, Implementation, Report};

use super::Stopped;
use super::whole::Whole;

/// Where to write what came of a run.
#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Write the XML of `JUnit` as well: a theme is a suite, a case a test
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write TAP 13 as well, what is wrong as YAML
    #[arg(long, value_name = "FILE")]
    tap: Option<PathBuf>,
    /// Write Markdown as well: counts by theme, failures in details
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write a report of the shape of the API group's `ConformanceReport` as well, of the themes cnp and anp
    #[arg(long, value_name = "FILE")]
    conformance_report: Option<PathBuf>,
    #[command(flatten)]
    implementation: ImplementationArgs,
}

/// What the `ConformanceReport` says about who was judged.
#[derive(Debug, Args)]
struct ImplementationArgs {
    /// Of the conformance report: whose implementation it is [default: sluice, where Sluice is judged]
    #[arg(long, value_name = "NAME", requires = "conformance_report")]
    organization: Option<String>,
    /// Of the conformance report: what it is called [default: sluice, where Sluice is judged]
    #[arg(long, value_name = "NAME", requires = "conformance_report")]
    project: Option<String>,
    /// Of the conformance report: where it is
    #[arg(
        long,
        value_name = "URL",
        default_value = "",
        requires = "conformance_report"
    )]
    url: String,
    /// Of the conformance report: which one [default: this, where Sluice is judged]
    #[arg(long, value_name = "VERSION", requires = "conformance_report")]
    implementation_version: Option<String>,
    /// Of the conformance report: whom to ask. Repeatable
    #[arg(long, value_name = "WHO", requires = "conformance_report")]
    contact: Vec<String>,
    /// Of the conformance report: where to see the run
    #[arg(
        long,
        value_name = "URL",
        default_value = "",
        requires = "conformance_report"
    )]
    additional_information: String,
}

#[derive(Clone, Copy)]
enum Format {
    Junit,
    Tap,
    Markdown,
    Conformance,
}

/// Files that can be written.
pub(super) struct Outputs<'a> {
    open: Vec<(Format, PathBuf, Whole)>,
    implementation: &'a ImplementationArgs,
}

impl OutputArgs {
    /// Opens every file, so that a path that is wrong is noticed before anything is run. A conformance report on
    /// somebody else's enforcer has to be told whose it is.
    pub(super) fn open(&self, is_foreign: bool) -> Result<Outputs<'_>, Stopped> {
        if is_foreign && self.conformance_report.is_some() && !self.implementation.is_told() {
            let message = "--conformance-report of a cluster needs --organization, --project and \
                           --implementation-version: what enforces there is not known";
            return Err(Stopped(2, message.to_owned()));
        }
        let wanted = [
            ("--junit", Format::Junit, &self.junit),
            ("--tap", Format::Tap, &self.tap),
            ("--markdown", Format::Markdown, &self.markdown),
            (
                "--conformance-report",
                Format::Conformance,
                &self.conformance_report,
            ),
        ];
        let mut open = Vec::new();
        for (flag, format, path) in wanted {
            let Some(path) = path else { continue };
            let file = Whole::open(path)
                .map_err(|error| Stopped(2, format!("{flag} {}: {error}", path.display())))?;
            open.push((format, path.clone(), file));
        }
        Ok(Outputs {
            open,
            implementation: &self.implementation,
        })
    }
}

impl Outputs<'_> {
    /// Writes every file.
    pub(super) fn write(self, report: &Report, cases: &[&Case]) -> Result<(), Stopped> {
        let implementation = self.implementation.value();
        for (format, path, file) in self.open {
            let text = text(format, report, cases, &implementation);
            let written = text.and_then(|text| Ok(file.write(&text)?));
            written.map_err(|error| Stopped(3, format!("{}: {error}", path.display())))?;
        }
        Ok(())
    }
}

fn text(
    format: Format,
    report: &Report,
    cases: &[&Case],
    implementation: &Implementation,
) -> anyhow::Result<Vec<u8>> {
    Ok(match format {
        Format::Junit => report::junit(report)?,
        Format::Tap => report::tap(report).into_bytes(),
        Format::Markdown => report::markdown(report).into_bytes(),
        Format::Conformance => {
            let now = jiff::Timestamp::now().round(jiff::Unit::Second)?;
            // What is not chosen, or is no case of the user's own, was not run.
            let suite = Catalogue::built_in();
            let all: Vec<&Case> = suite.cases.iter().chain(cases.iter().copied()).collect();
            report::conformance(report, &all, implementation, &now.to_string())?.into_bytes()
        }
    })
}

impl ImplementationArgs {
    fn is_told(&self) -> bool {
        let told = [
            &self.organization,
            &self.project,
            &self.implementation_version,
        ];
        told.into_iter().all(Option::is_some)
    }

    fn value(&self) -> Implementation {
        let or = |told: &Option<String>, own: &str| told.as_deref().unwrap_or(own).to_owned();
        Implementation {
            organization: or(&self.organization, "sluice"),
            project: or(&self.project, "sluice"),
            url: self.url.clone(),
            version: or(&self.implementation_version, env!("CARGO_PKG_VERSION")),
            contact: self.contact.clone(),
            additional_information: self.additional_information.clone(),
        }
    }
}
