//! Reading a line of a result file.

use serde::Deserialize;

use super::{BrokenSeal, Line, SCHEMA, check_seal, upgrade};

/// Why a line is not a record.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not what was written.
    #[error(transparent)]
    Seal(#[from] BrokenSeal),
    /// It is not JSON, or lacks what a record has.
    #[error("no record: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A later version of wsbench wrote it.
    #[error("a record of schema {found}: this program reads schemas {} to {SCHEMA}", upgrade::OLDEST)]
    Schema {
        /// The version that it states.
        found: u32,
    },
}

impl Line {
    /// Reads a line that this or an earlier version of wsbench has written. The checksum is of the text, and is compared
    /// before anything else.
    ///
    /// # Errors
    /// When the line is damaged, is not a record, or is of a later version.
    pub fn read(text: &str) -> Result<Line, ReadError> {
        /// What every version of the format has.
        #[derive(Deserialize)]
        struct Version {
            /// Absent in lines that have no version of their own.
            schema: Option<u32>,
        }
        check_seal(text)?;
        let version: Version = serde_json::from_str(text)?;
        match version.schema {
            None | Some(SCHEMA) => Ok(serde_json::from_str(text)?),
            Some(upgrade::OLDEST) => {
                let old = serde_json::from_str(text)?;
                Ok(serde_json::from_value(upgrade::from_schema_1(old))?)
            }
            Some(found) => Err(ReadError::Schema { found }),
        }
    }
}
