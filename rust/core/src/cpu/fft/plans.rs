//! Plans of `rustfft`, kept between calls.

use crate::cpu::scratch::Number;
use crate::cpu::simd::{Level, level};
use crate::dtype::Element;
use crate::sync::lock;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftDirection, FftNum, FftPlanner, FftPlannerScalar};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

/// A plan for lines of one length in one direction.
pub type Plan<T> = Arc<dyn Fft<T>>;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    length: usize,
    backward: bool,
    portable: bool,
}

/// More elements than this in all plans together, and they are made anew.
const KEPT: usize = 1 << 22;

/// Plans by length, and the factors that join the halves of real lines.
pub struct Plans<T: FftNum> {
    by_key: HashMap<Key, Plan<T>>,
    turns: HashMap<usize, Arc<[Complex<T>]>>,
    elements: usize,
}

impl<T: FftNum> Default for Plans<T> {
    fn default() -> Self {
        Plans { by_key: HashMap::new(), turns: HashMap::new(), elements: 0 }
    }
}

impl<T: FftNum> Plans<T> {
    fn make_room(&mut self, length: usize) {
        if self.elements + length > KEPT {
            *self = Plans::default();
        }
        self.elements += length;
    }
}

/// float32 and float64.
pub trait Part: FftNum + Element + Number {
    fn plans() -> &'static Mutex<Plans<Self>>;
}

static SINGLE: LazyLock<Mutex<Plans<f32>>> = LazyLock::new(Mutex::default);
static DOUBLE: LazyLock<Mutex<Plans<f64>>> = LazyLock::new(Mutex::default);

impl Part for f32 {
    fn plans() -> &'static Mutex<Plans<f32>> {
        &SINGLE
    }
}
impl Part for f64 {
    fn plans() -> &'static Mutex<Plans<f64>> {
        &DOUBLE
    }
}

/// The plan for lines of this length.
pub fn plan<T: Part>(length: usize, backward: bool) -> Plan<T> {
    let portable = level() == Level::Portable;
    let key = Key { length, backward, portable };
    if let Some(found) = lock(T::plans()).by_key.get(&key) {
        return found.clone();
    }
    // Outside the lock: a long plan takes its time.
    let direction = if backward { FftDirection::Inverse } else { FftDirection::Forward };
    let made = match portable {
        true => FftPlannerScalar::new().plan_fft(length, direction),
        false => FftPlanner::new().plan_fft(length, direction),
    };
    let mut plans = lock(T::plans());
    plans.make_room(length);
    plans.by_key.insert(key, made.clone());
    made
}

/// e^(−2πi·k/n) for k up to n/4, of an even n.
pub fn turns<T: Part>(n: usize) -> Arc<[Complex<T>]> {
    if let Some(found) = lock(T::plans()).turns.get(&n) {
        return found.clone();
    }
    let step = -2.0 * std::f64::consts::PI / n as f64;
    let turn = |k: usize| {
        let (sin, cos) = (step * k as f64).sin_cos();
        Complex::new(<T as Element>::from_f64(cos), <T as Element>::from_f64(sin))
    };
    let made: Arc<[Complex<T>]> = (0..=n / 4).map(turn).collect();
    let mut plans = lock(T::plans());
    plans.make_room(n / 4);
    plans.turns.insert(n, made.clone());
    made
}
