//! The prompt's commands for pictures: `.show`, `.save` and `.pictures`.

use std::path::Path;

use clap::ValueEnum;
use seedbed_udfs::images::picture::Picture;

use super::dot::put;
use super::nearest::nearest;
use super::output::pictures::{How, drawn};
use super::output::write_whole;
use super::session::Session;

/// The words that `.pictures` takes.
pub fn ways() -> Vec<String> {
    let ways = How::value_variants().iter();
    ways.map(|how| how.name().to_string()).collect()
}

/// `.show [N]`
pub fn show(session: &mut Session, count: &str) -> Result<(), String> {
    let most = match count {
        "" => usize::MAX,
        count => match count.parse() {
            Ok(0) | Err(_) => return Err(format!("'{count}' is not a number of pictures")),
            Ok(most) => most,
        },
    };
    let picture = last(session, most)?;
    let how = session.how_pictures();
    if how == How::Off {
        return Err(
            "no pictures are shown here: .save FILE.png writes them, .pictures blocks shows them as characters".to_string(),
        );
    }
    let width = session.output.view().width;
    let shown = drawn(how, &picture, width).and_then(|shown| session.output.put(&shown));
    shown.map_err(|error| error.message().to_string())
}

/// `.save FILE.png`
pub fn save(session: &mut Session, file: &str) -> Result<(), String> {
    let path = Path::new(file);
    let end = path.extension().and_then(|end| end.to_str());
    if !end.is_some_and(|end| end.eq_ignore_ascii_case("png")) {
        return Err("name a file that ends in .png: .save digits.png".to_string());
    }
    let picture = last(session, usize::MAX)?;
    let (width, height) = (picture.width(), picture.height());
    let written = picture.png().and_then(|png| write_whole(path, &png));
    written.map_err(|error| error.message().to_string())?;
    session.say(&format!("{file} is written, {width} x {height} pixels"));
    Ok(())
}

/// `.pictures [HOW]`
pub fn pictures(session: &mut Session, name: &str) -> Result<(), String> {
    let Some((how, _)) = &mut session.pictures else {
        return Err("pictures are shown at the prompt alone".to_string());
    };
    if name.is_empty() {
        let (how, here) = (how.name(), session.how_pictures().name());
        return put(
            session,
            &match how == here {
                true => format!("{how}\n"),
                false => format!("{how}: {here}\n"),
            },
        );
    }
    match How::from_str(name, true) {
        Ok(chosen) => {
            *how = chosen;
            Ok(())
        }
        Err(_) => {
            let ways = ways();
            Err(match nearest(name, ways.iter().map(String::as_str)) {
                Some(near) => format!("there is no way {name}; did you mean {near}?"),
                None => format!("there is no way {name}; use one of {}", ways.join(", ")),
            })
        }
    }
}

/// The pictures of the last result as one.
fn last(session: &Session, most: usize) -> Result<Picture, String> {
    let kept = session.pictures.as_ref().map(|(_, kept)| kept.pictures());
    let pictures = kept
        .transpose()
        .map_err(|error| error.message().to_string())?;
    let mut pictures = pictures.unwrap_or_default();
    pictures.truncate(most);
    if pictures.len() > 1 {
        return Picture::grid(&pictures).map_err(|error| error.message().to_string());
    }
    pictures.pop().ok_or_else(|| {
        "the last result has no pictures; they are in a column of images or of the bytes of files, as read_images('folder') gives"
            .to_string()
    })
}
