//! Sixels, of DEC's VT340: bands of six rows, a colour after another.

use std::fmt::Write;

use seedbed_udfs::images::picture::Picture;

/// Steps of red, green and blue.
const STEPS: u32 = 6;
/// Greys, beside those colours.
const GREYS: u32 = 40;

/// The register of the nearest colour there is: of a cube, or of a ramp of greys.
fn register([r, g, b]: [u8; 3]) -> u32 {
    let nearest = |v: u8, steps: u32| (u32::from(v) * (steps - 1) + 127) / 255;
    if r == g && g == b {
        return STEPS.pow(3) + nearest(r, GREYS);
    }
    (nearest(r, STEPS) * STEPS + nearest(g, STEPS)) * STEPS + nearest(b, STEPS)
}

/// Red, green and blue of a register, in hundredths.
fn color(register: u32) -> [u32; 3] {
    match register.checked_sub(STEPS.pow(3)) {
        Some(grey) => [(grey * 100 + (GREYS - 1) / 2) / (GREYS - 1); 3],
        None => [STEPS * STEPS, STEPS, 1].map(|unit| register / unit % STEPS * 100 / (STEPS - 1)),
    }
}

/// What shows a picture of three channels at the cursor.
pub fn drawn(picture: &Picture) -> Vec<u8> {
    let (width, height) = (picture.width(), picture.height());
    let registers: Vec<u32> = picture
        .pixels()
        .as_chunks::<3>()
        .0
        .iter()
        .map(|pixel| register(*pixel))
        .collect();
    let mut out = format!("\x1bPq\"1;1;{width};{height}");
    for register in used(&registers) {
        let [r, g, b] = color(register);
        // writing to a text does not fail
        let _ = write!(out, "#{register};2;{r};{g};{b}");
    }
    for band in registers.chunks(6 * width) {
        for (i, register) in used(band).into_iter().enumerate() {
            if i > 0 {
                out.push('$');
            }
            let _ = write!(out, "#{register}");
            let bits = |column: usize| {
                let rows = band[column..].iter().step_by(width).enumerate();
                rows.fold(0, |bits, (row, r)| bits | u8::from(*r == register) << row)
            };
            let columns: Vec<u8> = (0..width).map(bits).collect();
            for run in columns.chunk_by(|a, b| a == b) {
                let sixel = char::from(63 + run[0]);
                if run.len() > 3 {
                    let _ = write!(out, "!{}{sixel}", run.len());
                } else {
                    out.extend(run.iter().map(|_| sixel));
                }
            }
        }
        out.push('-');
    }
    out.push_str("\x1b\\\n");
    out.into_bytes()
}

/// The registers that occur, in order.
fn used(registers: &[u32]) -> Vec<u32> {
    let mut used = registers.to_vec();
    used.sort_unstable();
    used.dedup();
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_of_six_rows() {
        // red above green, seven rows of five columns; the last pixel is black
        let mut pixels = [[255, 0, 0].repeat(5 * 3), [0, 255, 0].repeat(5 * 4)].concat();
        pixels[7 * 5 * 3 - 3..].copy_from_slice(&[0, 0, 0]);
        let shown = String::from_utf8(drawn(&Picture::new(5, 3, pixels))).unwrap();
        let expected = "\x1bPq\"1;1;5;7#30;2;0;100;0#180;2;100;0;0#216;2;0;0;0\
                        #30!5w$#180!5F-#30!4@?$#216!4?@-\x1b\\\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn colours_are_near() {
        assert_eq!(color(register([128, 128, 128])), [51; 3]);
        assert_eq!(color(register([255, 255, 255])), [100; 3]);
        assert_eq!(color(register([200, 100, 10])), [80, 40, 0]);
        assert!((0..=255).all(|v| register([v, v, 255 - v]) < 256));
    }
}
