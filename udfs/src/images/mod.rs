//! The stage of images: a column of them, what is measured of them, and how they are changed, by numbers that are
//! given or drawn.

pub mod draw;
pub mod mix;
pub mod picture;
pub mod value;

mod affine;
mod auto_augment;
mod blur;
mod color;
mod crop;
mod decode;
mod flip;
mod from_pixels;
mod function;
mod grid;
mod hash;
mod histogram;
mod measure;
mod point;
mod policies;
mod random_affine;
mod random_color;
mod random_crop;
mod random_elastic;
mod random_erase;
mod resize;
mod standardize;
mod tensor;
mod tensors;
mod warp;

use crate::registry::Function;
pub use decode::{DECODE, ENCODE, png};
use function::{Of, OfImage};

/// A function of an image.
fn of<F: OfImage>(_: F) -> Function {
    Function::row_wise(Of::<F>::new())
}

/// The functions of this stage.
pub fn functions() -> Vec<Function> {
    vec![
        Function::aggregate(&grid::SPEC, grid::udf()),
        Function::fitted::<standardize::Standardize>(),
        Function::row_wise(decode::Decode),
        Function::row_wise(from_pixels::FromPixels),
        Function::row_wise(hash::HammingDistance),
        Function::row_wise(tensor::Tensor::normalized()),
        Function::row_wise(tensor::Tensor::plain()),
        of(affine::AffineOf),
        of(affine::Rotate),
        of(auto_augment::AutoAugment),
        of(blur::BlurOf),
        of(blur::Sharpen),
        of(color::Convert),
        of(color::Grayscale),
        of(color::Hue),
        of(color::Saturation),
        of(crop::CenterCrop),
        of(crop::Crop),
        of(crop::Pad),
        of(decode::Encode),
        of(flip::Flip),
        of(hash::Hash),
        of(histogram::Histogram),
        of(measure::Mean),
        of(measure::Sharpness),
        of(measure::Std),
        of(point::Autocontrast),
        of(point::Brightness),
        of(point::Contrast),
        of(point::Equalize),
        of(point::Gamma),
        of(point::Invert),
        of(point::Posterize),
        of(point::Solarize),
        of(policies::RandAugment),
        of(policies::TrivialAugment),
        of(random_affine::AugmentImage),
        of(random_affine::RandomAffine),
        of(random_affine::RandomRotate),
        of(random_affine::RandomShear),
        of(random_affine::RandomShift),
        of(random_affine::RandomZoom),
        of(random_color::ColorJitter),
        of(random_color::RandomBlur),
        of(random_color::RandomNoise),
        of(random_crop::RandomCrop),
        of(random_crop::RandomFlip),
        of(random_crop::RandomResizedCrop),
        of(random_elastic::RandomElastic),
        of(random_erase::Cutout),
        of(random_erase::RandomErase),
        of(resize::Resize),
    ]
}
