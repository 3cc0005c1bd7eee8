"""Golden values of images: Pillow, numpy, scipy, OpenCV and imagehash.

pip install Pillow scipy opencv-python-headless imagehash
"""

import base64
import io
import json
import math
from pathlib import Path

import cv2
import imagehash
import numpy as np
import PIL
import scipy
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage

FOLDER = Path(__file__).parent
random = np.random.default_rng(0)


def picture(height, width, channels):
    """Waves, an edge and a little noise, with 0 and 255 in every channel."""
    y, x = np.mgrid[:height, :width]
    planes = []
    for c in range(channels):
        waves = 128 + 90 * np.sin(x / (3 + c) + c) * np.cos(y / (4 - c / 2))
        waves += 30 * ((x + y) % 11 > 5) + random.normal(0, 6, (height, width))
        waves[c, 1] = 0
        waves[c, 2] = 255
        planes.append(np.clip(waves, 0, 255).astype(np.uint8))
    # little alpha would make much of a step of colour
    planes[3:] = [plane // 2 + 128 for plane in planes[3:]]
    return np.stack(planes, axis=-1).squeeze()


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    rgb = [128 + 100 * np.sin(x / 19 + c) * np.cos(y / (23 + 5 * c)) for c in range(3)]
    return np.stack(rgb, axis=-1).astype(np.uint8)


IMAGES = [
    Image.fromarray(picture(11, 14, 3)),
    Image.fromarray(picture(12, 10, 1)),
    Image.fromarray(picture(7, 9, 4), "RGBA"),
    Image.fromarray(smooth(16, 24)),
]


def png(image):
    file = io.BytesIO()
    image.save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def jpeg(image):
    file = io.BytesIO()
    image.save(file, "jpeg", quality=95, subsampling=0)
    return base64.b64encode(file.getvalue()).decode()


def flat(image):
    return np.asarray(image).ravel().tolist()


cases = []


def case(call, f, rows=(0, 1), levels=0, authority=None, note=None):
    """Our call on `i` gives the pixels that `f` makes of the images, but for so many levels."""
    at = ", ".join(str(row) for row in rows)
    made = {
        "sql": f"SELECT image_tensor({call}, scale => 1) FROM "
        f"(SELECT id, image_decode(decode(png, 'base64')) AS i FROM t WHERE id IN ({at})) ORDER BY id",
        "columns": [[flat(f(IMAGES[row])) for row in rows]],
        # tolerances are in parts of the greatest value
        "tolerance": levels * 1.001 / min(max(flat(f(IMAGES[row]))) for row in rows) if levels else 0.0,
    }
    if authority:
        made["authority"] = authority
    if note:
        made["note"] = note
    cases.append(made)


def value(call, f, rows=(0, 1), tolerance=0.0, authority=None):
    at = ", ".join(str(row) for row in rows)
    made = {
        "sql": f"SELECT {call} FROM "
        f"(SELECT id, image_decode(decode(png, 'base64')) AS i FROM t WHERE id IN ({at})) ORDER BY id",
        "columns": [[f(IMAGES[row]) for row in rows]],
        "tolerance": tolerance,
    }
    if authority:
        made["authority"] = authority
    cases.append(made)


EVERY = (0, 1, 2)
NUMPY = f"numpy {np.__version__}"
SCIPY = f"scipy {scipy.__version__}"

case("i", lambda i: i, EVERY)
case("image_decode(image_encode(i, 'webp'))", lambda i: i, (0, 2), note="it has no grey")
case("image_decode(image_encode(i, 'bmp'))", lambda i: i, (0, 2))
case("image_decode(image_encode(i, 'tiff'))", lambda i: i, EVERY)
case("image_decode(image_encode(i, 'jpeg', 95))", lambda i: Image.open(io.BytesIO(base64.b64decode(jpeg(i)))), (0, 1), 25,
     note="another encoder of JPEG, and other fractions: alike, not the same")

# ---- tensors and pixels

for layout in ("hwc", "chw"):
    def tensor(image, layout=layout):
        array = np.asarray(image, dtype=np.float64)
        array = (array / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
        return (array.transpose(2, 0, 1) if layout == "chw" else array).ravel().tolist()
    value(
        f"image_tensor(i, '{layout}', mean => [0.485, 0.456, 0.406], std => [0.229, 0.224, 0.225], "
        "width => 14, height => 11, channels => 3)",
        tensor, (0,), 1e-6, NUMPY,
    )
value("image_tensor(i)", lambda i: (np.asarray(i) / 255).ravel().tolist(), (0, 1), 1e-6, NUMPY)
values = [[-1.0, 0.4, 0.6, 254.4, 300.0, 17.5]]
cases.append({
    "sql": "SELECT image_tensor(image_from_pixels([-1, 0.4, 0.6, 254.4, 300, 17.5], width => 3, height => 2), scale => 1) FROM t WHERE id = 0",
    "columns": [np.clip(np.floor(np.array(values) + 0.5), 0, 255).tolist()],
    "authority": NUMPY,
})

# ---- sizes

FILTERS = {
    "nearest": Image.Resampling.NEAREST, "box": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING, "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS,
}
SHARP = ("bicubic", "lanczos")
for name, resample in FILTERS.items():
    # sides at which no pixel is between two
    for size in ((6, 8), (20, 16)):
        if name in SHARP:
            # what is beyond 0 and 255 is cut off after another of the two passes
            case(f"image_resize(i, {size[0]}, {size[1]}, '{name}')", lambda i: i.resize(size, resample), (3,), 1)
            continue
        case(f"image_resize(i, {size[0]}, {size[1]}, '{name}')", lambda i: i.resize(size, resample), (0, 1), 1)
        case(f"image_resize(i, {size[0]}, {size[1]}, '{name}')", lambda i: i.resize(size, resample), (2,), 4)
for size in ((10, 10), (18, 7), (5, 17)):
    w, h = size
    bilinear = Image.Resampling.BILINEAR
    case(f"image_resize(i, {w}, {h}, fit => 'contain')", lambda i: ImageOps.contain(i, size, bilinear), (0, 1), 1)
    case(f"image_resize(i, {w}, {h}, fit => 'pad', fill => 9)", lambda i: ImageOps.pad(i, size, bilinear, color=(9, 9, 9) if i.mode == "RGB" else 9), (0, 1), 1)
    case(f"image_resize(i, {w}, {h}, fit => 'cover')", lambda i: ImageOps.fit(i, size, bilinear), (0, 1), 1)

# ---- parts

for box in ((2, 3, 5, 4), (-3, -2, 18, 17), (100, 0, 2, 2), (0, 0, 1, 1)):
    x, y, w, h = box
    case(f"image_crop(i, {x}, {y}, {w}, {h})", lambda i: i.crop((x, y, x + w, y + h)), EVERY)


def center(image, w, h):
    """torchvision.transforms.functional.center_crop."""
    def start(side, part):
        return round((side - part) / 2) if part <= side else -((part - side) // 2)
    x, y = start(image.width, w), start(image.height, h)
    return image.crop((x, y, x + w, y + h))


for w, h in ((8, 8), (9, 7), (18, 5), (15, 15)):
    case(f"image_center_crop(i, {w}, {h})", lambda i: center(i, w, h), EVERY)


def pad(image, left, top, right, bottom, **more):
    sides = [(top, bottom), (left, right), (0, 0)]
    array = np.asarray(image)
    return np.pad(array, sides[: array.ndim], **more)


case("image_pad(i, 1, 2, 3, 4, fill => 9)", lambda i: pad(i, 1, 2, 3, 4, mode="constant", constant_values=9), EVERY, 0, NUMPY)
case("image_pad(i, 1, 2, 3, 4, mode => 'nearest')", lambda i: pad(i, 1, 2, 3, 4, mode="edge"), EVERY, 0, NUMPY)
case("image_pad(i, 17, 2, 3, 20, mode => 'reflect')", lambda i: pad(i, 17, 2, 3, 20, mode="symmetric"), EVERY, 0, NUMPY)
case("image_pad(i, 17, 2, 3, 20, mode => 'wrap')", lambda i: pad(i, 17, 2, 3, 20, mode="wrap"), EVERY, 0, NUMPY)

# ---- maps

case("image_flip(i, 'h')", ImageOps.mirror, EVERY)
case("image_flip(i, 'v')", ImageOps.flip, EVERY)
for degrees in (0, 10, -33, 45, 90, 180, 270, 359, 1000):
    case(f"image_rotate(i, {degrees}, fill => 7)", lambda i: i.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=(7,) * len(i.getbands()) if len(i.getbands()) > 1 else 7), (0, 1), 1)
    case(f"image_rotate(i, {degrees}, true)", lambda i: i.rotate(degrees, Image.Resampling.BILINEAR, expand=True), (0, 1), 1)


def affine(image, degrees, translate, scale, shear):
    """torchvision.transforms.functional.affine, its angle counterclockwise."""
    turn, (sx, sy) = math.radians(-degrees), (math.radians(s) for s in shear)
    cx, cy = image.width * 0.5, image.height * 0.5
    a = math.cos(turn - sy) / math.cos(sy)
    b = -math.cos(turn - sy) * math.tan(sx) / math.cos(sy) - math.sin(turn)
    c = math.sin(turn - sy) / math.cos(sy)
    d = -math.sin(turn - sy) * math.tan(sx) / math.cos(sy) + math.cos(turn)
    m = [v / scale for v in (d, -b, 0.0, -c, a, 0.0)]
    m[2] += m[0] * (-cx - translate[0]) + m[1] * (-cy - translate[1]) + cx
    m[5] += m[3] * (-cx - translate[0]) + m[4] * (-cy - translate[1]) + cy
    return image.transform(image.size, Image.Transform.AFFINE, m, Image.Resampling.BILINEAR)


for degrees, x, y, scale, sx, sy in ((0, 2, -3, 1, 0, 0), (30, 1.5, 0, 1.3, 0, 0), (0, 0, 0, 0.7, 20, 0), (-70, 3, 2, 0.9, 10, -15)):
    case(f"image_affine(i, {degrees}, {x}, {y}, {scale}, {sx}, {sy})", lambda i: affine(i, degrees, (x, y), scale, (sx, sy)), (0, 1), 1)

# ---- colours

case("image_grayscale(i)", lambda i: i.convert("L"), (0, 1))
case("image_grayscale(i, 3)", lambda i: i.convert("L").convert("RGB"), (0, 1))
case("image_convert(i, 'gray')", lambda i: i.convert("L"), EVERY)
case("image_convert(i, 'rgb')", lambda i: i.convert("RGB"), EVERY)
case("image_convert(i, 'rgba')", lambda i: i.convert("RGBA"), EVERY)
case("image_convert(i, 'hsv')", lambda i: i.convert("RGB").convert("HSV"), (0, 2, 3))
for factor in (0, 0.3, 1, 1.4, 3):
    case(f"image_brightness(i, {factor})", lambda i: ImageEnhance.Brightness(i).enhance(factor), (0, 1))
    case(f"image_contrast(i, {factor})", lambda i: ImageEnhance.Contrast(i).enhance(factor), (0, 1))
    case(f"image_saturation(i, {factor})", lambda i: ImageEnhance.Color(i).enhance(factor), (0, 1))
    case(f"image_sharpen(i, {factor})", lambda i: ImageEnhance.Sharpness(i).enhance(factor), (0, 1), 1)


def hue(image, turn):
    """torchvision.transforms.functional.adjust_hue."""
    h, s, v = image.convert("HSV").split()
    h = np.array(h, dtype=np.uint8) + np.int32(turn * 255).astype(np.uint8)
    return Image.merge("HSV", (Image.fromarray(h), s, v)).convert("RGB")


for turn in (-0.5, -0.1, 0, 0.2, 0.5):
    case(f"image_hue(i, {turn})", lambda i: hue(i, turn), (0, 3))


def gamma(image, gamma, gain):
    """torchvision.transforms.functional.adjust_gamma."""
    table = [min(255, int((255 + 1 - 1e-3) * gain * pow(v / 255.0, gamma))) for v in range(256)]
    return image.point(table * len(image.getbands()))


for g, gain in ((0.5, 1), (1, 1), (2.2, 1), (1.5, 1.7)):
    case(f"image_gamma(i, {g}, {gain})", lambda i: gamma(i, g, gain), (0, 1))
case("image_invert(i)", ImageOps.invert, (0, 1))
case("image_equalize(i)", ImageOps.equalize, (0, 1, 3))
case("image_autocontrast(i)", ImageOps.autocontrast, (0, 1, 3))
for bits in (1, 2, 4, 8):
    case(f"image_posterize(i, {bits})", lambda i: ImageOps.posterize(i, bits), (0, 1))
for threshold in (0, 100, 128, 256):
    case(f"image_solarize(i, {threshold})", lambda i: ImageOps.solarize(i, threshold), (0, 1))


def blur(image, sigma):
    array = np.asarray(image, dtype=np.float64)
    axes = (sigma, sigma, 0)[: array.ndim]
    return np.floor(ndimage.gaussian_filter(array, axes, mode="mirror", truncate=3.0) + 0.5)


for sigma in (0.4, 1, 1.7, 2.5, 4, 12):
    case(f"image_blur(i, {sigma})", lambda i: blur(i, sigma), EVERY, 1, SCIPY)

# ---- measures

colors = lambda i: np.asarray(i.convert("RGB") if i.mode == "RGBA" else i, dtype=np.float64)
value("image_mean(i)", lambda i: colors(i).mean(), EVERY, 1e-14, NUMPY)
value("image_std(i)", lambda i: colors(i).std(), EVERY, 1e-14, NUMPY)
value("image_sharpness(i)", lambda i: cv2.Laplacian(np.asarray(i.convert("L")), cv2.CV_64F).var(), EVERY, 1e-12, f"OpenCV {cv2.__version__}")
for name, f in (("ahash", imagehash.average_hash), ("dhash", imagehash.dhash), ("phash", imagehash.phash)):
    for row in (0, 1, 3):
        # a step of grey in the small image turns a bit
        value(f"hamming_distance(image_hash(i, '{name}'), {int(str(f(IMAGES[row])), 16)}) <= 4", lambda i: "true", (row,), 0.0, f"imagehash {imagehash.__version__}")
        other = int(str(f(IMAGES[0])), 16) ^ int(str(f(IMAGES[row])), 16)
        value(f"hamming_distance({int(str(f(IMAGES[0])), 16)}, {int(str(f(IMAGES[row])), 16)})", lambda i: other.bit_count(), (row,), 0.0, NUMPY)


def grid(images, columns, padding, fill):
    """Images of any size in the middle of equal places."""
    arrays = [np.asarray(i.convert("RGB")) for i in images]
    height, width = (max(a.shape[axis] for a in arrays) for axis in (0, 1))
    rows = -(-len(arrays) // columns)
    canvas = np.full((rows * (height + padding) - padding, columns * (width + padding) - padding, 3), fill)
    for n, a in enumerate(arrays):
        y = n // columns * (height + padding) + (height - a.shape[0]) // 2
        x = n % columns * (width + padding) + (width - a.shape[1]) // 2
        canvas[y : y + a.shape[0], x : x + a.shape[1]] = a
    return canvas.ravel().tolist()


cases.append({
    "sql": "SELECT image_tensor(image_grid(decode(png, 'base64'), id, columns => 2, padding => 3, fill => 9), scale => 1) FROM t WHERE id < 3",
    "columns": [[grid(IMAGES[:3], 2, 3, 9)]],
    "authority": NUMPY,
})

columns = [
    {"name": "id", "type": "BIGINT", "values": list(range(len(IMAGES)))},
    {"name": "png", "type": "VARCHAR", "values": [png(image) for image in IMAGES]},
]
golden = {"authority": f"Pillow {PIL.__version__}", "table": {"columns": columns}, "cases": cases}
(FOLDER / "images.json").write_text(json.dumps(golden) + "\n")
