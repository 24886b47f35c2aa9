//! The cases of `benchmarks/compare_burn.py` on burn's wgpu backend: a matrix product, a convolution and a training step
//! of the quickstart's network, each timed after a warm-up and with the device synchronised before the clock stops.
//!
//! Prints a line of JSON with the adapter, then one for each case.

use std::time::{Duration, Instant};

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig, PaddingConfig2d, Relu};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, DeviceKind, Distribution, Int, Tensor};

/// Pixels a side of the quickstart's images.
const SIZE: usize = 8;
/// The loss of a network that gives ten classes the same probability.
const GUESSING: f32 = std::f32::consts::LN_10;

struct Options {
    device: DeviceKind,
    matmul: usize,
    /// Images, channels in, pixels a side, channels out.
    conv: [usize; 4],
    batch: usize,
    warm_up: f64,
    seconds: f64,
}

impl Options {
    fn parse() -> Result<Self, String> {
        let mut options = Self {
            device: DeviceKind::DefaultDevice,
            matmul: 512,
            conv: [4, 64, 56, 64],
            batch: 64,
            warm_up: 2.0,
            seconds: 2.0,
        };
        for argument in std::env::args().skip(1) {
            let (name, value) =
                argument.split_once('=').ok_or(format!("{argument}: options are written --name=value"))?;
            let wrong = |error: &dyn std::fmt::Display| format!("{argument}: {error}");
            match name {
                "--device" if value == "software" => options.device = DeviceKind::Cpu,
                "--device" if value == "default" => options.device = DeviceKind::DefaultDevice,
                "--matmul" => options.matmul = value.parse().map_err(|e| wrong(&e))?,
                "--batch" => options.batch = value.parse().map_err(|e| wrong(&e))?,
                "--warm-up" => options.warm_up = value.parse().map_err(|e| wrong(&e))?,
                "--seconds" => options.seconds = value.parse().map_err(|e| wrong(&e))?,
                "--conv" => {
                    let sizes: Result<Vec<usize>, _> = value.split(',').map(str::parse).collect();
                    let sizes = sizes.map_err(|e| wrong(&e))?;
                    options.conv = sizes.try_into().map_err(|_| wrong(&"four sizes"))?;
                }
                _ => return Err(wrong(&"unknown")),
            }
        }
        Ok(options)
    }
}

/// The network of `examples/quickstart.py`: images `(N, 1, 8, 8)` to scores `(N, 10)`.
#[derive(Module, Debug)]
struct Network {
    conv1: Conv2d,
    norm1: BatchNorm,
    conv2: Conv2d,
    norm2: BatchNorm,
    pool: MaxPool2d,
    dropout: Dropout,
    linear1: Linear,
    linear2: Linear,
    relu: Relu,
}

impl Network {
    fn new(device: &Device) -> Self {
        let conv = |from, to| {
            Conv2dConfig::new([from, to], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(device)
        };
        Self {
            conv1: conv(1, 16),
            norm1: BatchNormConfig::new(16).init(device),
            conv2: conv(16, 32),
            norm2: BatchNormConfig::new(32).init(device),
            pool: MaxPool2dConfig::new([2, 2]).init(),
            dropout: DropoutConfig::new(0.2).init(),
            linear1: LinearConfig::new(32 * 4 * 4, 64).init(device),
            linear2: LinearConfig::new(64, 10).init(device),
            relu: Relu::new(),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.norm1.forward(self.conv1.forward(images));
        let x = self.relu.forward(x);
        let x = self.norm2.forward(self.conv2.forward(x));
        let x = self.pool.forward(self.relu.forward(x));
        let x = self.dropout.forward(x.flatten(1, 3));
        let x = self.relu.forward(self.linear1.forward(x));
        self.linear2.forward(x)
    }
}

/// Runs `step` for a warm-up, then until the time is over; prints the median of its seconds.
fn time<T>(case: &str, options: &Options, device: &Device, mut step: impl FnMut() -> T) {
    let mut timed = || {
        let start = Instant::now();
        let result = step();
        device.sync().expect("the device computes what was recorded");
        let elapsed = start.elapsed();
        drop(result);
        elapsed
    };
    let first = timed();
    repeat(options.warm_up, &mut timed);
    let mut times = repeat(options.seconds, &mut timed);
    times.sort();
    println!(
        "{{\"case\": \"{case}\", \"seconds\": {:e}, \"iterations\": {}, \"first\": {:e}}}",
        times[times.len() / 2].as_secs_f64(),
        times.len(),
        first.as_secs_f64(),
    );
}

/// The times of at least three calls, and of more until `seconds` are over.
fn repeat(seconds: f64, timed: &mut impl FnMut() -> Duration) -> Vec<Duration> {
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || start.elapsed().as_secs_f64() < seconds {
        times.push(timed());
    }
    times
}

fn uniform<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Default, device)
}

fn matmul(options: &Options, device: &Device) {
    let (n, a, b) = (options.matmul, uniform([options.matmul; 2], device), uniform([options.matmul; 2], device));
    time(&format!("matmul {n}"), options, device, || a.clone().matmul(b.clone()));
}

fn convolution(options: &Options, device: &Device) {
    let [n, channels, size, out] = options.conv;
    let x = uniform([n, channels, size, size], device);
    let w = uniform([out, channels, 3, 3], device);
    let case = format!("conv2d 3x3 {n}x{channels}x{size}x{size} to {out}");
    let how = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    time(&case, options, device, || conv2d(x.clone(), w.clone(), None, how.clone()));
}

fn training(options: &Options, device: &Device) {
    let training = device.clone().autodiff();
    let images = uniform([options.batch, 1, SIZE, SIZE], &training);
    let classes: Vec<i32> = (0..options.batch).map(|i| (i % 10) as i32).collect();
    let labels = Tensor::<1, Int>::from_data(classes.as_slice(), &training);
    let mut model = Some(Network::new(&training));
    // What corten.optim.AdamW takes in the quickstart.
    let mut optimizer = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.02).init();
    let loss_of = CrossEntropyLossConfig::new().init(&training);
    let mut last = None;
    let case = format!("training step of the quickstart, batch {}", options.batch);
    time(&case, options, device, || {
        let before = model.take().expect("a step leaves a model");
        let loss = loss_of.forward(before.forward(images.clone()), labels.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &before);
        model = Some(optimizer.step(5e-3, before, gradients));
        last = Some(loss);
    });
    let loss: f32 = last.map_or(f32::NAN, |loss| loss.into_scalar());
    assert!(loss < GUESSING, "the network has not learnt: {loss}");
}

fn main() {
    let options = match Options::parse() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("corten-bench-burn: {message}");
            std::process::exit(2);
        }
    };
    let (device, setup) =
        Device::wgpu_options().device_kind(options.device.clone()).init_with_setup().expect("burn opens the adapter");
    let adapter = setup.adapter.get_info();
    println!("{{\"adapter\": {:?}, \"backend\": {:?}}}", adapter.name, format!("{:?}", adapter.backend),);
    matmul(&options, &device);
    convolution(&options, &device);
    training(&options, &device);
}
