//! What functions from text to text share.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion_common::Result;

use crate::row_wise::Args;

/// Applies `change` to the texts of the first argument, but not to those that `is_done` says need nothing. NULL
/// stays NULL.
pub fn change_texts(
    args: &Args<'_>,
    is_done: impl Fn(&str) -> bool,
    mut change: impl FnMut(&str, &mut String),
) -> Result<ArrayRef> {
    let x = args.array(0)?;
    let texts = x.as_string_view();
    if texts.iter().flatten().all(&is_done) {
        return Ok(x);
    }
    let mut out = StringViewBuilder::with_capacity(texts.len());
    let mut buffer = String::new();
    for text in texts {
        match text {
            None => out.append_null(),
            Some(text) if is_done(text) => out.try_append_value(text)?,
            Some(text) => {
                buffer.clear();
                change(text, &mut buffer);
                out.try_append_value(&buffer)?;
            }
        }
    }
    Ok(Arc::new(out.finish()))
}
