//! Convolutions, pooling and activations: derivatives against finite differences, values against PyTorch.

use serde_json::Value;

use super::super::tests::{check, check_parameters, numbers, weight};
use super::super::{Activation, BatchNorm, MaxPool, Network, Place, Statistics};
use super::*;

/// One layer as a network.
struct One(Conv);

impl Network for One {
    fn parameters(&self) -> Vec<&Parameter> {
        self.0.parameters().collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        self.0.parameters_mut().collect()
    }
}

fn frame(height: usize, width: usize, channels: usize) -> Frame {
    Frame {
        height,
        width,
        channels,
    }
}

fn window(side: usize, stride: usize, padding: usize) -> Window {
    Window {
        side,
        stride,
        padding,
    }
}

fn layers() -> Vec<Conv> {
    vec![
        Conv::new("halves", window(4, 2, 1), frame(5, 6, 2), 3, 1),
        Conv::new("keeps", window(3, 1, 1), frame(3, 4, 2), 2, 2),
        Conv::new("shrinks", window(3, 2, 0), frame(6, 5, 1), 2, 3),
        Conv::new("point", window(1, 1, 0), frame(2, 2, 3), 2, 4),
        Conv::transposed("doubles", window(4, 2, 1), 3, frame(6, 4, 2), 5),
        Conv::transposed("grows", window(3, 1, 0), 2, frame(4, 5, 1), 6),
    ]
}

fn weighted(cells: &[f32]) -> f32 {
    let cells = cells.iter().enumerate();
    cells.map(|(i, cell)| weight(i) * cell).sum()
}

fn weights(count: usize) -> Vec<f32> {
    (0..count).map(weight).collect()
}

#[test]
fn convolutions_have_their_gradients() {
    for layer in layers() {
        let pictures = 3;
        let mut x = numbers(pictures * layer.input().cells(), 1);
        let mut network = One(layer);
        let mut out = Matrix::default();
        network.0.forward(&x, &mut out);
        let delta = weights(out.cells().len());
        network.0.backward(&x, &delta, pictures);
        check_parameters(&mut network, |network| {
            network.0.forward(&x, &mut out);
            weighted(out.cells())
        });
        let mut gradient = Matrix::default();
        network.0.inputs_gradient(&delta, &mut gradient);
        assert_eq!(gradient.cells().len(), x.len());
        check("input", gradient.cells(), |i, step| {
            x[i] += step;
            network.0.forward(&x, &mut out);
            x[i] -= step;
            weighted(out.cells())
        });
    }
}

#[test]
fn a_tangent_is_the_change_of_what_comes_out() {
    for layer in layers() {
        let cells = 2 * layer.input().cells();
        let (x, change) = (numbers(cells, 1), numbers(cells, 2));
        let moved: Vec<f32> = x.iter().zip(&change).map(|(x, c)| x + c).collect();
        let apply = |x: &[f32]| {
            let mut out = Matrix::default();
            layer.forward(x, &mut out);
            out
        };
        let mut tangent = Matrix::default();
        layer.tangent(&change, &mut tangent);
        let (before, after) = (apply(&x), apply(&moved));
        for (i, tangent) in tangent.cells().iter().enumerate() {
            let difference = after.cells()[i] - before.cells()[i];
            assert!((difference - tangent).abs() < 1e-4);
        }
    }
}

#[test]
fn the_bias_sees_the_first_pictures_and_frozen_weights_have_no_gradient() {
    let mut layer = layers().remove(0);
    let x = numbers(2 * layer.input().cells(), 1);
    let delta = weights(2 * layer.output().cells());
    layer.backward(&x, &delta, 1);
    let sums: Vec<f32> = (0..3)
        .map(|c| delta[..delta.len() / 2].iter().skip(c).step_by(3).sum())
        .collect();
    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
    assert!(layer.bias.gradient.iter().zip(&sums).all(near));
    let mut frozen = layers().remove(0);
    frozen.freeze();
    frozen.backward(&x, &delta, 2);
    assert!(frozen.parameters().all(|p| p.gradient.is_empty()));
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let results: Vec<Vec<f32>> = [1, 2, 7]
        .into_iter()
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let mut layer = Conv::new("layer", window(4, 2, 1), frame(14, 14, 8), 16, 1);
            let x = numbers(33 * layer.input().cells(), 1);
            let (mut out, mut gradient) = (Matrix::default(), Matrix::default());
            pool.build().unwrap().install(|| {
                layer.forward(&x, &mut out);
                layer.inputs_gradient(out.cells(), &mut gradient);
                layer.backward(&x, out.cells(), 33);
            });
            let parameters = layer.parameters().flat_map(|p| p.gradient.clone());
            let parts = [out.cells(), gradient.cells()].concat();
            parts.into_iter().chain(parameters).collect()
        })
        .collect();
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}

#[test]
fn pictures_smaller_than_a_window_and_empty_batches_give_nothing() {
    let mut small = Conv::new("small", window(5, 1, 0), frame(3, 3, 1), 2, 1);
    assert_eq!(small.output(), frame(0, 0, 2));
    let mut out = Matrix::default();
    small.forward(&[0.0; 18], &mut out);
    assert!(out.cells().is_empty());
    small.backward(&[0.0; 18], &[], 2);
    assert!(small.weight.gradient.iter().all(|&g| g == 0.0));
    for mut layer in layers() {
        layer.forward(&[], &mut out);
        assert!(out.cells().is_empty());
        layer.backward(&[], &[], 0);
        layer.inputs_gradient(&[], &mut out);
        assert!(out.cells().is_empty());
    }
}

#[test]
fn pooling_and_activations_have_their_gradients() {
    let pool = MaxPool::new(frame(5, 4, 2), 2);
    let mut x = numbers(3 * 40, 1);
    let (mut out, mut places) = (Matrix::default(), Vec::new());
    pool.forward(&x, &mut out, &mut places);
    let delta = weights(out.cells().len());
    let mut gradient = Matrix::default();
    pool.backward(&places, &delta, &mut gradient);
    check("input", gradient.cells(), |i, step| {
        x[i] += step;
        pool.forward(&x, &mut out, &mut places);
        x[i] -= step;
        weighted(out.cells())
    });
    for activation in [
        Activation::Leaky(0.2),
        Activation::Leaky(0.0),
        Activation::Tanh,
        Activation::Sigmoid,
    ] {
        let apply = |x: &[f32]| {
            let mut out = x.to_vec();
            activation.forward(&mut out);
            out
        };
        let mut gradient = weights(x.len());
        activation.backward(&apply(&x), &mut gradient);
        check("input", &gradient, |i, step| {
            let mut moved = x.clone();
            moved[i] += step;
            weighted(&apply(&moved))
        });
    }
}

#[test]
fn a_number_that_is_none_is_not_pooled_away() {
    let pool = MaxPool::new(frame(2, 2, 1), 2);
    let (mut out, mut places) = (Matrix::default(), Vec::new());
    pool.forward(&[1.0, f32::NAN, 2.0, 0.0], &mut out, &mut places);
    // A NaN passes, whatever is larger than it: nothing is.
    assert!(out.cells()[0].is_nan());
}

/// A list of numbers of the golden file.
fn list(case: &Value, name: &str) -> Vec<f32> {
    let items = case[name].as_array().unwrap().iter();
    items.map(|item| item.as_f64().unwrap() as f32).collect()
}

fn assert_near(what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let off = (ours - theirs).abs();
        assert!(
            off < 2e-5 * (1.0 + theirs.abs()),
            "{what} {i}: {ours} is not {theirs}"
        );
    }
}

/// Values and gradients of PyTorch's; tests/golden/layers.py made them.
#[test]
fn pytorch_agrees() {
    let text = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/layers/convolutions.json"
    ));
    let golden: Value = serde_json::from_str(text).unwrap();
    let mut seen = Vec::new();
    for case in golden["cases"].as_array().unwrap() {
        let kind = case["layer"].as_str().unwrap();
        let number = |name: &str| case[name].as_u64().unwrap() as usize;
        let sides = |name: &str| {
            let sides = list(case, name);
            frame(sides[0] as usize, sides[1] as usize, sides[2] as usize)
        };
        let (input, output) = (sides("input"), sides("output"));
        let (x, delta) = (list(case, "x"), list(case, "delta"));
        let (mut out, mut gradient) = (Matrix::default(), Matrix::default());
        match kind {
            "conv" | "transposed" => {
                let window = window(number("side"), number("stride"), number("padding"));
                let mut layer = match kind {
                    "conv" => Conv::new("layer", window, input, output.channels, 0),
                    _ => Conv::transposed("layer", window, input.channels, output, 0),
                };
                assert_eq!((layer.input(), layer.output()), (input, output));
                layer.weight.values = list(case, "weight");
                layer.bias.values = list(case, "bias");
                layer.forward(&x, &mut out);
                layer.backward(&x, &delta, x.len() / input.cells());
                layer.inputs_gradient(&delta, &mut gradient);
                let by = |name: &str| list(case, name);
                assert_near("weight", &layer.weight.gradient, &by("weight_gradient"));
                assert_near("bias", &layer.bias.gradient, &by("bias_gradient"));
            }
            "pool" => {
                let pool = MaxPool::new(input, number("side"));
                let mut places = Vec::new();
                pool.forward(&x, &mut out, &mut places);
                pool.backward(&places, &delta, &mut gradient);
            }
            _ => {
                let channels = input.channels;
                let place = Place {
                    begin: 0,
                    width: channels,
                    stride: channels,
                };
                let mut norm = BatchNorm::new("layer", channels, 0);
                for (parameter, name) in norm.parameters_mut().zip(["weight", "bias"]) {
                    parameter.values = list(case, name);
                }
                let mut normal = Matrix::default();
                normal.reshape(x.len() / channels, channels);
                normal.cells_mut().copy_from_slice(&x);
                out.reshape(x.len() / channels, channels);
                let batch = Statistics::Batch;
                let moments = norm.forward(&mut normal, batch, out.cells_mut(), place);
                norm.backward(&normal, &moments, batch, &delta, place, &mut gradient);
                let found: Vec<&Parameter> = norm.parameters().collect();
                assert_near("scale", &found[0].gradient, &list(case, "weight_gradient"));
                assert_near("shift", &found[1].gradient, &list(case, "bias_gradient"));
            }
        }
        assert_near("output", out.cells(), &list(case, "out"));
        assert_near("input", gradient.cells(), &list(case, "gradient"));
        seen.push(kind);
    }
    assert_eq!(
        seen,
        [
            "conv",
            "conv",
            "conv",
            "transposed",
            "transposed",
            "pool",
            "norm"
        ]
    );
}
