//! Elementary functions of single precision that the compiler turns into vector code, and that give the
//! same bits on every machine: the system's own do neither.

/// 1.5 * 2^23: adding it leaves a number's nearest integer in the lowest bits.
const TO_INTEGER: f32 = 12_582_912.0;

/// `exp(x)` within two units in the last place; below -87 it stays at exp(-87), far above 0's need.
#[inline]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + TO_INTEGER;
    let n = shifted - TO_INTEGER;
    // ln 2 in two parts, so that the product with the first is exact.
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let series = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0));
    let series = 1.0 / 6.0 + r * (1.0 / 24.0 + r * series);
    let power = 1.0 + r * (1.0 + r * (0.5 + r * series));
    power * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// `ln(x)` of a normal positive number.
#[inline]
pub fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    // The exponent that brings the rest between sqrt(1/2) and sqrt(2).
    let exponent = (bits.wrapping_sub(0x3f35_04f3) as i32) >> 23;
    let rest = f32::from_bits(bits.wrapping_sub((exponent as u32) << 23)) - 1.0;
    let s = rest / (2.0 + rest);
    let z = s * s;
    let series = 1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * (1.0 / 9.0)));
    exponent as f32 * std::f32::consts::LN_2 + 2.0 * s * (1.0 + z * series)
}

/// `tanh(x)`.
#[inline]
pub fn tanh(x: f32) -> f32 {
    let t = exp(-2.0 * x.abs());
    ((1.0 - t) / (1.0 + t)).copysign(x)
}

/// `1 / (1 + exp(-x))`.
#[inline]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `ln(1 + exp(x))` without overflow: `-ln D` is the softplus of minus the discriminator's logit.
#[inline]
pub fn softplus(x: f32) -> f32 {
    x.max(0.0) + ln(1.0 + exp(-x.abs()))
}

/// Replaces numbers uniform in (0, 1) by standard Gumbels: the argmax of logits plus Gumbels is a draw
/// from their softmax.
pub fn to_gumbel(uniform: &mut [f32]) {
    for u in uniform {
        *u = -ln(-ln(*u));
    }
}

/// Turns logits into their softmax.
pub fn softmax(logits: &mut [f32]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for logit in logits.iter_mut() {
        *logit = exp(*logit - largest);
    }
    let total: f32 = logits.iter().sum();
    for power in logits {
        *power /= total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_agree_with_the_systems() {
        for i in -8600..8600 {
            let x = i as f32 * 0.01;
            let near = |ours: f32, theirs: f64, scale: f64| {
                let error = (f64::from(ours) - theirs).abs();
                assert!(error <= 3e-7 * scale, "{x}: {ours} is not {theirs}");
            };
            let wide = f64::from(x);
            near(exp(x), wide.exp(), wide.exp());
            near(tanh(x), wide.tanh(), 1.0);
            near(softplus(x), (1.0 + wide.exp()).ln(), wide.max(1.0));
            near(sigmoid(x), 1.0 / (1.0 + (-wide).exp()), 1.0);
            let power = x.exp();
            near(ln(power), f64::from(power).ln(), wide.abs().max(1.0));
        }
        assert!(exp(f32::NAN).is_nan() && ln(1.0 - f32::EPSILON / 2.0) < 0.0);
    }

    #[test]
    fn softmax_of_far_logits_neither_overflows_nor_divides_by_0() {
        let mut logits = [-3e4, 3e4];
        softmax(&mut logits);
        assert!(logits[0] < 1e-30 && logits[1] == 1.0);
    }
}
