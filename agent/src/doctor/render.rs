//! The report as a table.

use std::fmt;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};

use super::processes::ProcessReport;
use super::{Finding, Report};

impl fmt::Display for Report {
    /// The alternate form (`{:#}`) has all programs, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tier {
            Some(tier) => writeln!(f, "Remora can run here, in the tier {tier}.\n")?,
            None => writeln!(f, "Remora cannot run here; the reasons are below.\n")?,
        }
        let mut host = table(&["", "host", "found", "what would change it"]);
        for Finding { what, ok, found, advice } in
            self.host.iter().chain(self.tiers.iter().map(|tried| &tried.finding))
        {
            let mark = match ok {
                Some(true) => "yes",
                Some(false) => "no",
                None => "-",
            };
            host.add_row([mark, what, found, advice.as_deref().unwrap_or("")]);
        }
        writeln!(f, "{host}\n")?;
        if f.alternate() {
            let mut programs = table(&["tier", "program", "verified instructions"]);
            for tried in &self.tiers {
                for program in &tried.programs {
                    let instructions =
                        program.instructions.map_or("not told".to_owned(), |many| many.to_string());
                    programs.add_row([tried.tier.name(), &program.name, &instructions]);
                }
            }
            writeln!(f, "{programs}\n")?;
        }
        if self.processes.is_empty() {
            return writeln!(f, "No process with sockets can be seen.");
        }
        let mut processes =
            table(&["pid", "process", "runtime", "plaintext", "goroutines", "encrypted, notes"]);
        for process in &self.processes {
            processes.add_row(row(process));
        }
        writeln!(f, "{processes}")
    }
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(head);
    if table.width().is_none() {
        table.set_width(140);
    }
    table
}

fn row(process: &ProcessReport) -> [String; 6] {
    let verdict = |captured: bool, why: &str| if captured { "yes".to_owned() } else { format!("no: {why}") };
    let encrypted = process.encrypted.iter().map(|library| format!("{}: {}", library.library, library.why));
    let ring = process.io_uring.iter().map(|ring| format!("io_uring: {}", ring.why));
    [
        process.pid.to_string(),
        process.name.clone(),
        process.runtime.clone().unwrap_or_default(),
        verdict(process.plain.captured, &process.plain.why),
        process.goroutines.as_ref().map_or(String::new(), |goroutines| {
            if goroutines.captured {
                format!("yes: {}", goroutines.why)
            } else {
                format!("no: {}", goroutines.why)
            }
        }),
        ring.chain(encrypted).chain(process.notes.iter().cloned()).collect::<Vec<_>>().join("\n"),
    ]
}
