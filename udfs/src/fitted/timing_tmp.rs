use super::numbers::Numbers;
use super::*;
use arrow::array::*;
use std::sync::Arc;
use std::time::Instant;
fn t<N: Numbers>(name: &str, v: &[f64], fin: impl Fn(&mut N)) {
    let mut s = N::default();
    let a = Instant::now();
    for c in v.chunks(8192) {
        s.add(c);
    }
    let u = a.elapsed();
    let a = Instant::now();
    fin(&mut s);
    println!(
        "{name}: {:.2} ns/value, finish {:?}, bytes {}",
        u.as_nanos() as f64 / v.len() as f64,
        a.elapsed(),
        s.bytes()
    );
}
#[test]
fn timing() {
    let n = 10_000_000u64;
    let h =
        |i: u64| (i.wrapping_mul(0x9e3779b97f4a7c15) ^ (i >> 3)).wrapping_mul(0xd6e8feb86659fd93);
    let ints: Vec<f64> = (0..n).map(|i| (h(i) >> 40) as f64 % 1000.0).collect();
    let reals: Vec<f64> = (0..n)
        .map(|i| (h(i) >> 11) as f64 / (1u64 << 53) as f64 * 100.0)
        .collect();
    for (name, v) in [("ints", &ints), ("reals", &reals)] {
        t::<moments::Moments>(&format!("moments {name}"), v, |s| {
            s.variance(0);
        });
        t::<extent::Extent>(&format!("extent {name}"), v, |s| {
            s.range();
        });
        t::<quantiles::Quantiles>(&format!("quantiles {name}"), v, |s| {
            s.quantiles(&[0.01, 0.25, 0.5, 0.75, 0.99]);
        });
        let groups: Vec<usize> = (0..8192).map(|i| (h(i) >> 60) as usize).collect();
        let mut s: Vec<moments::Moments> = (0..16).map(|_| Default::default()).collect();
        let arrays: Vec<ArrayRef> = v
            .chunks_exact(8192)
            .map(|c| Arc::new(Float64Array::from(c.to_vec())) as ArrayRef)
            .collect();
        let a = Instant::now();
        for x in &arrays {
            State::update_groups(&mut s, &groups, &[x.clone()]).unwrap();
        }
        println!(
            "grouped moments {name}: {:.2} ns",
            a.elapsed().as_nanos() as f64 / n as f64
        );
        let mut s: Vec<quantiles::Quantiles> = (0..16).map(|_| Default::default()).collect();
        let a = Instant::now();
        for x in &arrays {
            State::update_groups(&mut s, &groups, &[x.clone()]).unwrap();
        }
        println!(
            "grouped quantiles {name}: {:.2} ns",
            a.elapsed().as_nanos() as f64 / n as f64
        );
        let p = vec![Some([3.0, 2.0])];
        let a = Instant::now();
        for x in &arrays {
            std::hint::black_box(
                numbers::map_floats(x, &p, Groups::One, |x, [a, b]| (x - a) / b).unwrap(),
            );
        }
        println!(
            "scale {name}: {:.2} ns",
            a.elapsed().as_nanos() as f64 / n as f64
        );
        let g: Vec<u32> = groups.iter().map(|g| *g as u32).collect();
        let p = vec![Some([3.0, 2.0]); 16];
        let a = Instant::now();
        for x in &arrays {
            std::hint::black_box(
                numbers::map_floats(x, &p, Groups::Each(&g), |x, [a, b]| (x - a) / b).unwrap(),
            );
        }
        println!(
            "grouped scale {name}: {:.2} ns",
            a.elapsed().as_nanos() as f64 / n as f64
        );
    }
    let names: Vec<String> = (0..100).map(|i| format!("carrier{i}")).collect();
    let arrays: Vec<ArrayRef> = (0..1000u64)
        .map(|b| {
            Arc::new(StringViewArray::from_iter_values(
                (0..8192).map(|i| &names[(h(b * 8192 + i) >> 40) as usize % 100]),
            )) as ArrayRef
        })
        .collect();
    let mut c = counts::Counts::new(&DataType::Utf8View).unwrap();
    let a = Instant::now();
    for x in &arrays {
        c.update(&[x.clone()]).unwrap();
    }
    println!("counts: {:.2} ns", a.elapsed().as_nanos() as f64 / 8192e3);
    let (v, n) = c.sorted().unwrap();
    let codes: Vec<u32> = (0..n.len() as u32).collect();
    let l = counts::Lookup::new(&v, &codes).unwrap();
    let a = Instant::now();
    for x in &arrays {
        std::hint::black_box(l.codes(x).unwrap());
    }
    println!("codes: {:.2} ns", a.elapsed().as_nanos() as f64 / 8192e3);
}
