//! The backend against the CPU, on whatever adapter the environment admits (`CORTEN_GPU_SOFTWARE=1` for a software one).

use corten_core::device::Device;
use corten_core::dtype::DType;
use corten_core::gpu::adapters;
use corten_core::op::Ew;
use corten_core::ops::create::from_slice;
use corten_core::ops::device::{on_host, to_device};
use corten_core::ops::elementwise::{apply, cast};
use corten_core::ops::{to_vec_i64, view};
use corten_core::tensor::Tensor;

fn missing() -> bool {
    adapters::count() == 0
}

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + 11) % 97) as f32 / 13.0 - 3.5).collect()
}

fn floats(t: &Tensor) -> Vec<f64> {
    let t = on_host(t).and_then(|t| corten_core::ops::contiguous(&t)).and_then(|t| cast(&t, DType::F64)).expect("read");
    let b = corten_core::exec::materialize(&t).expect("values");
    // SAFETY: contiguous float64 elements.
    unsafe { std::slice::from_raw_parts(b.ptr().cast::<f64>(), t.numel()) }.to_vec()
}

fn gpu(t: &Tensor) -> Tensor {
    to_device(t, Device::Gpu(0)).expect("upload")
}

#[test]
fn values_travel_both_ways() {
    if missing() {
        return;
    }
    for n in [0, 1, 5, 1000] {
        let t = from_slice(&values(n)).expect("tensor");
        assert_eq!(floats(&gpu(&t)), floats(&t));
    }
}

#[test]
fn chains_agree_with_the_cpu() {
    if missing() {
        return;
    }
    let x = view::reshape(&from_slice(&values(6 * 35)).expect("x"), &[6, 35]).expect("shape");
    let y = view::reshape(&from_slice(&values(35)).expect("y"), &[1, 35]).expect("shape");
    let program = |x: &Tensor, y: &Tensor| -> Tensor {
        let a = apply(Ew::Mul, &[x.into(), y.into()]).expect("mul");
        let b = apply(Ew::Add, &[(&a).into(), 1.5.into()]).expect("add");
        let c = view::transpose(&b, 0, 1).expect("transpose");
        apply(Ew::Sub, &[(&c).into(), (&view::transpose(x, 0, 1).expect("t")).into()]).expect("sub")
    };
    assert_eq!(floats(&program(&gpu(&x), &gpu(&y))), floats(&program(&x, &y)));
    for dtype in [DType::F16, DType::BF16, DType::I64, DType::I32, DType::I16, DType::I8, DType::U8, DType::Bool] {
        let there = cast(&gpu(&x), dtype).expect("cast");
        let here = cast(&x, dtype).expect("cast");
        assert_eq!(floats(&there), floats(&here), "{dtype}");
        if dtype.is_int() {
            let square = |t: &Tensor| apply(Ew::Mul, &[t.into(), t.into()]).expect("mul");
            assert_eq!(
                to_vec_i64(&square(&there)).expect("values"),
                to_vec_i64(&square(&here)).expect("values"),
                "{dtype}"
            );
        }
    }
}
