//! `check`: looks at the machine, and says what it means for the results.

use bench_core::row::BuildInfo;
use comfy_table::{Table, presets};
use trial::machine::findings;

use crate::{
    exit::{OK, Stop},
    output::print::print,
};

/// Prints everything that was looked at, and what it means.
///
/// # Errors
/// None.
pub fn check(build: &BuildInfo) -> Result<u8, Stop> {
    let findings = findings(build);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for finding in &findings {
        let sign = if finding.warning.is_some() { "!" } else { "ok" };
        table.add_row([sign, &finding.what, &finding.value]);
    }
    let warnings: Vec<String> = findings
        .iter()
        .filter_map(|finding| Some(format!("! {}: {}", finding.what, finding.warning.as_ref()?)))
        .collect();
    let end = match warnings.len() {
        0 => "nothing speaks against measuring here".to_owned(),
        _ => warnings.join("\n"),
    };
    print(&format!("{}\n\n{end}\n", table.trim_fmt()));
    Ok(OK)
}
