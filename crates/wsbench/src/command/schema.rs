//! `schema`: prints the JSON Schema of what other programs read.

use clap::{Args, ValueEnum};
use trial::record::Line;

use crate::{
    command::{compare, drive},
    exit::{OK, Stop},
    output::{print::print, table::flat},
};

/// Flags of `schema`.
#[derive(Args, Clone, Debug)]
pub struct SchemaArguments {
    /// Of a line of a result file, of `table --format json`, of `compare --format json`, or of `drive --format json`
    #[arg(value_enum, default_value_t)]
    of: SchemaOf,
}

/// What a schema describes.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum SchemaOf {
    /// A line of a result file
    #[default]
    Record,
    /// The figures that `table --format json` prints
    Table,
    /// What `compare --format json` prints
    Compare,
    /// What `drive --format json` prints
    Drive,
}

/// Prints a schema.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn schema(arguments: &SchemaArguments) -> Result<u8, Stop> {
    let schema = match arguments.of {
        SchemaOf::Record => schemars::schema_for!(Line),
        SchemaOf::Table => flat::schema(),
        SchemaOf::Compare => compare::schema(),
        SchemaOf::Drive => drive::schema(),
    };
    let json = serde_json::to_string_pretty(&schema).map_err(|error| Stop::failed(error.to_string()))?;
    print(&(json + "\n"));
    Ok(OK)
}
