//! The report for people.

use std::fmt;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::{Binary, File, Offset, Probe, Report};

/// Columns where the output is no terminal.
const WIDTH: u16 = 120;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pid) = self.pid {
            write!(f, "process {pid}")?;
            if let Some(runtime) = &self.runtime {
                write!(f, ": {runtime}")?;
            }
            writeln!(f, "\n")?;
        }
        for (at, file) in self.files.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            file.fmt(f)?;
        }
        match self.other_libraries {
            0 => Ok(()),
            1 => writeln!(f, "\n1 other library is loaded, without TLS and with nothing to probe"),
            some => writeln!(f, "\n{some} other libraries are loaded, without TLS and with nothing to probe"),
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{}", self.path, if self.deleted { " (deleted or replaced since)" } else { "" })?;
        if let Some(opened) = &self.opened {
            writeln!(f, "  opened       {opened}")?;
        }
        match (&self.binary, &self.error) {
            (Some(binary), _) => binary.fmt(f),
            (None, Some(error)) => writeln!(f, "  not known    {error}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes_no = |yes, text: &'static str, otherwise: &'static str| if yes { text } else { otherwise };
        writeln!(f, "  runtime      {}", self.runtime)?;
        writeln!(
            f,
            "  built        for {}, {}, {}, {}, {}",
            self.machine,
            yes_no(self.linkage == "static", "statically linked", "dynamically linked"),
            yes_no(self.position_independent, "position-independent", "at a fixed address"),
            yes_no(self.stripped, "stripped", "with symbols"),
            yes_no(self.dwarf, "with DWARF", "without DWARF"),
        )?;
        writeln!(f, "  build id     {}", self.build_id.as_deref().unwrap_or("none"))?;
        for (name, text) in [("go build id", &self.go_build_id), ("debug file", &self.debug_file)] {
            if let Some(text) = text {
                writeln!(f, "  {name:<12} {text}")?;
            }
        }
        for module in &self.modules {
            writeln!(f, "  module       {module}")?;
        }
        for tls in &self.tls {
            let version = tls.version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
            let place =
                tls.shared.as_ref().map_or_else(|| "inside".to_owned(), |name| format!("linked: {name}"));
            writeln!(f, "  TLS          {}{version} ({place})", tls.library)?;
        }
        if self.tls.is_empty() {
            writeln!(f, "  TLS          none linked, none inside")?;
        }
        for note in &self.notes {
            writeln!(f, "  note         {note}")?;
        }
        probes(f, &self.probes)?;
        if !self.absent.is_empty() {
            writeln!(f, "\n  not there (not linked in, inlined, or of another version):")?;
            for function in &self.absent {
                writeln!(f, "    {function}")?;
            }
        }
        offsets(f, &self.offsets)
    }
}

fn table(header: &[&'static str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.to_vec());
    if table.width().is_none() {
        table.set_width(WIDTH);
    }
    table
}

fn probes(f: &mut fmt::Formatter<'_>, probes: &[Probe]) -> fmt::Result {
    if probes.is_empty() {
        return writeln!(f, "\n  nothing to probe");
    }
    let mut rows = table(&["function", "file offset", "returns", "evidence"]);
    for probe in probes {
        let returns = match (&probe.returns_note, probe.returns.len()) {
            (Some(note), 0) => note.clone(),
            (Some(note), some) => format!("{some}; {note}"),
            (None, 0) if probe.at_returns => "by return probe".to_owned(),
            (None, 0) => String::new(),
            (None, some) => some.to_string(),
        };
        rows.add_row([probe.function, &format!("{:#x}", probe.offset), &returns, &probe.evidence]);
    }
    write_table(f, &rows)
}

fn offsets(f: &mut fmt::Formatter<'_>, offsets: &[Offset]) -> fmt::Result {
    if offsets.is_empty() {
        return Ok(());
    }
    let mut rows = table(&["field", "offset", "source"]);
    for offset in offsets {
        let value = offset.offset.map_or_else(|| "not known".to_owned(), |offset| offset.to_string());
        rows.add_row([&format!("{}.{}", offset.structure, offset.field), &value, &offset.source]);
    }
    write_table(f, &rows)
}

fn write_table(f: &mut fmt::Formatter<'_>, table: &Table) -> fmt::Result {
    writeln!(f)?;
    table.to_string().lines().try_for_each(|line| writeln!(f, " {}", line.trim_end()))
}
