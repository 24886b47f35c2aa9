//! Recurrent layers and their gradients against plain loops over one sequence after another in float64, at every
//! instruction-set level.

use super::*;
use crate::cpu::rnn_backward::{self, Backward, Gradients};
use crate::cpu::rows::testing::{Tensor, assert_close, at_every_level};
use crate::dtype::Element;

const CELLS: [Cell; 4] = [Cell::Tanh, Cell::Relu, Cell::Lstm, Cell::Gru];

/// Batch, units and steps: one and several blocks of units and of rows, and what is left over of both.
const SIZES: [[usize; 3]; 8] =
    [[1, 1, 1], [3, 5, 2], [17, 32, 9], [1, 100, 9], [3, 1, 9], [17, 5, 1], [70, 33, 3], [3, 100, 2]];

/// A layer and how it is run.
#[derive(Clone, Debug)]
struct Case {
    cell: Cell,
    batch: usize,
    hidden: usize,
    reverse: bool,
    bias: bool,
    /// The rows of each step.
    sizes: Vec<usize>,
    packed: bool,
}

impl Case {
    fn new(cell: Cell, [batch, hidden, steps]: [usize; 3], options: usize) -> Case {
        let [reverse, bias, packed] = [0, 1, 2].map(|bit| options >> bit & 1 == 1);
        // Every third step loses some rows, so that lengths are repeated too.
        let rows = |t: usize| if packed { batch.div_ceil(1 + (t + 1) / 3) } else { batch };
        Case { cell, batch, hidden, reverse, bias, sizes: (0..steps).map(rows).collect(), packed }
    }
    fn rows(&self) -> usize {
        self.sizes.iter().sum()
    }
    fn width(&self) -> usize {
        self.cell.gates() * self.hidden
    }
    fn saves(&self) -> bool {
        matches!(self.cell, Cell::Lstm | Cell::Gru)
    }
    /// The rows of one sequence among those of all steps, in the order in which its steps run.
    fn path(&self, sequence: usize) -> Vec<usize> {
        let mut first = 0;
        let mut path = Vec::new();
        for &n in &self.sizes {
            if sequence < n {
                path.push(first + sequence);
            }
            first += n;
        }
        if self.reverse {
            path.reverse();
        }
        path
    }
}

fn all_cases() -> impl Iterator<Item = Case> {
    CELLS.into_iter().flat_map(|cell| {
        SIZES.into_iter().flat_map(move |sizes| (0..8).map(move |options| Case::new(cell, sizes, options)))
    })
}

/// The operands of a layer, and the gradients that arrive at its results.
struct Given {
    projected: Vec<f64>,
    h: Vec<f64>,
    c: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    dhs: Vec<f64>,
    dh_last: Vec<f64>,
    dc_last: Vec<f64>,
}

impl Given {
    fn new(case: &Case) -> Given {
        let (rows, states) = (case.rows() * case.hidden, case.batch * case.hidden);
        // Rounded to float32, so that both dtypes are given the same numbers.
        let noise = |seed: u64, n: usize, scale: f64| -> Vec<f64> {
            Tensor::<f64>::noise(seed, &[n]).data.iter().map(|v| f64::from((v * scale) as f32)).collect()
        };
        Given {
            projected: noise(1, case.rows() * case.width(), 1.0),
            h: noise(2, states, 0.5),
            c: noise(3, states, 0.5),
            weight: noise(4, case.width() * case.hidden, 0.8 / (case.hidden as f64).sqrt()),
            bias: if case.bias { noise(5, bias_rows(case.cell) * case.hidden, 0.5) } else { Vec::new() },
            dhs: noise(6, rows, 0.5),
            dh_last: noise(7, states, 0.5),
            dc_last: noise(8, states, 0.5),
        }
    }
}

/// What the kernels yield; what a cell has not is empty.
#[derive(Default)]
struct Found {
    hs: Vec<f64>,
    h_last: Vec<f64>,
    c_last: Vec<f64>,
    activations: Vec<f64>,
    cells: Vec<f64>,
    dprojected: Vec<f64>,
    drecurrent: Vec<f64>,
    dh: Vec<f64>,
    dc: Vec<f64>,
    dweight: Vec<f64>,
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

/// A step of one sequence from the products of its gates: the new state, the new cell, the activations.
fn step(case: &Case, x: &[f64], sums: &[f64], h: &[f64], c: &[f64]) -> [Vec<f64>; 3] {
    let n = case.hidden;
    let gate = |k: usize, j: usize| x[k * n + j] + sums[k * n + j];
    let all = |f: &dyn Fn(usize) -> f64| (0..n).map(f).collect::<Vec<f64>>();
    match case.cell {
        Cell::Tanh => [all(&|j| gate(0, j).tanh()), Vec::new(), Vec::new()],
        Cell::Relu => [all(&|j| gate(0, j).max(0.0)), Vec::new(), Vec::new()],
        Cell::Lstm => {
            let [i, f, o] = [0, 1, 3].map(|k| all(&|j| sigmoid(gate(k, j))));
            let g = all(&|j| gate(2, j).tanh());
            let cell = all(&|j| f[j] * c[j] + i[j] * g[j]);
            [all(&|j| o[j] * cell[j].tanh()), cell, [i, f, g, o].concat()]
        }
        Cell::Gru => {
            let [r, z] = [0, 1].map(|k| all(&|j| sigmoid(gate(k, j))));
            let new = all(&|j| (x[2 * n + j] + r[j] * sums[2 * n + j]).tanh());
            let state = all(&|j| (1.0 - z[j]) * new[j] + z[j] * h[j]);
            [state, Vec::new(), [r, z, new, sums[2 * n..].to_vec()].concat()]
        }
    }
}

/// The gradients of the gates' products and of their parts of the input, what reaches the state before past the gates, and
/// the gradient of the cell before.
fn step_back(case: &Case, at: &Step, hs: &[f64], dh: &[f64], dc: &[f64]) -> [Vec<f64>; 4] {
    let n = case.hidden;
    let all = |f: &dyn Fn(usize) -> f64| (0..n).map(f).collect::<Vec<f64>>();
    let a = |k: usize, j: usize| at.activations[k * n + j];
    let zero = vec![0.0; n];
    match case.cell {
        Cell::Tanh | Cell::Relu => {
            let slope = |j: usize| if case.cell == Cell::Tanh { 1.0 - hs[j] * hs[j] } else { (hs[j] > 0.0).into() };
            let d = all(&|j| dh[j] * slope(j));
            [d.clone(), d, zero.clone(), zero]
        }
        Cell::Lstm => {
            let cell = all(&|j| dc[j] + dh[j] * a(3, j) * (1.0 - at.cell[j].tanh().powi(2)));
            let gates = [
                all(&|j| cell[j] * a(2, j) * a(0, j) * (1.0 - a(0, j))),
                all(&|j| cell[j] * at.c[j] * a(1, j) * (1.0 - a(1, j))),
                all(&|j| cell[j] * a(0, j) * (1.0 - a(2, j) * a(2, j))),
                all(&|j| dh[j] * at.cell[j].tanh() * a(3, j) * (1.0 - a(3, j))),
            ]
            .concat();
            [gates.clone(), gates, zero, all(&|j| cell[j] * a(1, j))]
        }
        Cell::Gru => {
            let new = all(&|j| dh[j] * (1.0 - a(1, j)) * (1.0 - a(2, j) * a(2, j)));
            let reset = all(&|j| new[j] * a(3, j) * a(0, j) * (1.0 - a(0, j)));
            let update = all(&|j| dh[j] * (at.h[j] - a(2, j)) * a(1, j) * (1.0 - a(1, j)));
            let product = all(&|j| new[j] * a(0, j));
            let recurrent = [reset.clone(), update.clone(), product].concat();
            [recurrent, [reset, update, new].concat(), all(&|j| dh[j] * a(1, j)), zero]
        }
    }
}

/// What a step of one sequence began with and kept.
struct Step {
    row: usize,
    h: Vec<f64>,
    c: Vec<f64>,
    cell: Vec<f64>,
    activations: Vec<f64>,
}

fn reference(case: &Case, g: &Given) -> Found {
    let (n, width, rows) = (case.hidden, case.width(), case.rows());
    let (lstm, gru) = (case.cell == Cell::Lstm, case.cell == Cell::Gru);
    let zeros = |made: bool, count: usize| vec![0.0; if made { count } else { 0 }];
    let mut out = Found {
        hs: zeros(true, rows * n),
        activations: zeros(case.saves(), rows * 4 * n),
        cells: zeros(lstm, rows * n),
        dprojected: zeros(true, rows * width),
        drecurrent: zeros(gru, rows * width),
        dweight: zeros(true, width * n),
        ..Default::default()
    };
    for sequence in 0..case.batch {
        let steps = reference_steps(case, g, sequence, &mut out);
        reference_gradients(case, g, sequence, &steps, &mut out);
    }
    out
}

/// One sequence from its first step to its last.
fn reference_steps(case: &Case, g: &Given, sequence: usize, out: &mut Found) -> Vec<Step> {
    let (n, width) = (case.hidden, case.width());
    let (lstm, gru) = (case.cell == Cell::Lstm, case.cell == Cell::Gru);
    let own = |v: &[f64]| v[sequence * n..][..n].to_vec();
    let (mut h, mut c) = (own(&g.h), own(&g.c));
    let mut steps = Vec::new();
    for row in case.path(sequence) {
        let sum = |k: usize| {
            let product: f64 = (0..n).map(|j| g.weight[k * n + j] * h[j]).sum();
            // The GRU's new gate has a bias inside the product, and one outside.
            let k = if gru && k >= 2 * n { k + n } else { k };
            product + g.bias.get(k).unwrap_or(&0.0)
        };
        let sums: Vec<f64> = (0..width).map(sum).collect();
        let mut x = g.projected[row * width..][..width].to_vec();
        if gru && case.bias {
            x[2 * n..].iter_mut().zip(&g.bias[2 * n..]).for_each(|(x, b)| *x += b);
        }
        let [state, cell, activations] = step(case, &x, &sums, &h, &c);
        out.hs[row * n..][..n].copy_from_slice(&state);
        if case.saves() {
            out.activations[row * 4 * n..][..4 * n].copy_from_slice(&activations);
        }
        if lstm {
            out.cells[row * n..][..n].copy_from_slice(&cell);
        }
        let before = (std::mem::replace(&mut h, state), std::mem::replace(&mut c, cell.clone()));
        steps.push(Step { row, h: before.0, c: before.1, cell, activations });
    }
    out.h_last.extend(h);
    out.c_last.extend(c.into_iter().filter(|_| lstm));
    steps
}

/// The same sequence from its last step to its first.
fn reference_gradients(case: &Case, g: &Given, sequence: usize, steps: &[Step], out: &mut Found) {
    let (n, width) = (case.hidden, case.width());
    let own = |v: &[f64]| v[sequence * n..][..n].to_vec();
    let (mut dh, mut dc) = (own(&g.dh_last), own(&g.dc_last));
    for at in steps.iter().rev() {
        let hs = &out.hs[at.row * n..][..n];
        dh.iter_mut().zip(&g.dhs[at.row * n..]).for_each(|(d, g)| *d += g);
        let [recurrent, projected, past, cell] = step_back(case, at, hs, &dh, &dc);
        out.dprojected[at.row * width..][..width].copy_from_slice(&projected);
        if case.cell == Cell::Gru {
            out.drecurrent[at.row * width..][..width].copy_from_slice(&recurrent);
        }
        for k in 0..width {
            (0..n).for_each(|j| out.dweight[k * n + j] += recurrent[k] * at.h[j]);
        }
        let through = |j: usize| (0..width).map(|k| g.weight[k * n + j] * recurrent[k]).sum::<f64>();
        dh = (0..n).map(|j| past[j] + through(j)).collect();
        dc = cell;
    }
    out.dh.extend(dh);
    out.dc.extend(dc.into_iter().filter(|_| case.cell == Cell::Lstm));
}

fn sizes_of(case: &Case) -> Option<Tensor<i64>> {
    case.packed.then(|| Tensor::new(case.sizes.iter().map(|&n| n as f64).collect(), &[case.sizes.len()]))
}

/// The results of the forward kernel; without what the gradient needs where it `saves` nothing.
fn run_forward<T: Element>(case: &Case, g: &Given, saves: bool) -> Result<Found> {
    let (n, width, rows) = (case.hidden, case.width(), case.rows());
    let lstm = case.cell == Cell::Lstm;
    let tensor = |v: &[f64], shape: &[usize]| Tensor::<T>::new(v.to_vec(), shape);
    let (projected, weight) = (tensor(&g.projected, &[rows, width]), tensor(&g.weight, &[width, n]));
    let (h, c, bias) =
        (tensor(&g.h, &[case.batch, n]), tensor(&g.c, &[case.batch, n]), tensor(&g.bias, &[g.bias.len()]));
    let sizes = sizes_of(case);
    let zeros = |count: usize, columns: usize| Tensor::<T>::zeros(&[count, columns]);
    let (mut hs, mut h_last, mut c_last) = (zeros(rows, n), zeros(case.batch, n), zeros(case.batch, n));
    let (mut activations, mut cells) = (zeros(rows, 4 * n), zeros(rows, n));
    let (projected, h, c, weight, bias) = (projected.input(), h.input(), c.input(), weight.input(), bias.input());
    let sizes = sizes.as_ref().map(Tensor::input);
    let args = Forward {
        cell: case.cell,
        reverse: case.reverse,
        steps: case.sizes.len(),
        projected: &projected,
        h: &h,
        c: lstm.then_some(&c),
        weight: &weight,
        bias: case.bias.then_some(&bias),
        sizes: sizes.as_ref(),
    };
    let keeps = [lstm, saves && case.saves(), saves && lstm];
    forward(
        &args,
        Results {
            hs: &mut hs.output(),
            h_last: &mut h_last.output(),
            c_last: keeps[0].then_some(&mut c_last.output()),
            activations: keeps[1].then_some(&mut activations.output()),
            cells: keeps[2].then_some(&mut cells.output()),
        },
    )?;
    let [c_last, activations, cells] = [(keeps[0], c_last), (keeps[1], activations), (keeps[2], cells)]
        .map(|(kept, t)| t.values().into_iter().filter(|_| kept).collect());
    Ok(Found { hs: hs.values(), h_last: h_last.values(), c_last, activations, cells, ..Default::default() })
}

/// The gradients from what the reference saved. `arrives` says which gradients there are of the states, the last state and
/// the last cell.
fn run_backward<T: Element>(case: &Case, g: &Given, saved: &Found, arrives: [bool; 3], weighs: bool) -> Found {
    let (n, width, rows, batch) = (case.hidden, case.width(), case.rows(), case.batch);
    let (lstm, gru) = (case.cell == Cell::Lstm, case.cell == Cell::Gru);
    let tensor = |v: &[f64], shape: &[usize]| Tensor::<T>::new(v.to_vec(), shape);
    let (hs, weight) = (tensor(&saved.hs, &[rows, n]), tensor(&g.weight, &[width, n]));
    let [h, c, dh_last, dc_last] = [&g.h, &g.c, &g.dh_last, &g.dc_last].map(|v| tensor(v, &[batch, n]));
    let dhs = tensor(&g.dhs, &[rows, n]);
    let activations = tensor(&saved.activations, &[saved.activations.len()]);
    let cells = tensor(&saved.cells, &[saved.cells.len()]);
    let sizes = sizes_of(case);
    let sizes = sizes.as_ref().map(Tensor::input);
    let [hs, weight, h, c, dhs, dh_last, dc_last, activations, cells] =
        [&hs, &weight, &h, &c, &dhs, &dh_last, &dc_last, &activations, &cells].map(Tensor::input);
    let zeros = |count: usize, columns: usize| Tensor::<T>::zeros(&[count, columns]);
    let (mut projected, mut recurrent, mut dweight) = (zeros(rows, width), zeros(rows, width), zeros(width, n));
    let (mut dh, mut dc) = (zeros(batch, n), zeros(batch, n));
    let args = Backward {
        cell: case.cell,
        reverse: case.reverse,
        steps: case.sizes.len(),
        dhs: arrives[0].then_some(&dhs),
        dh_last: arrives[1].then_some(&dh_last),
        dc_last: (arrives[2] && lstm).then_some(&dc_last),
        hs: &hs,
        h: &h,
        c: lstm.then_some(&c),
        weight: &weight,
        activations: case.saves().then_some(&activations),
        cells: lstm.then_some(&cells),
        sizes: sizes.as_ref(),
    };
    rnn_backward::backward(
        &args,
        Gradients {
            projected: &mut projected.output(),
            recurrent: gru.then_some(&mut recurrent.output()),
            h: &mut dh.output(),
            c: lstm.then_some(&mut dc.output()),
            weight: weighs.then_some(&mut dweight.output()),
        },
    )
    .expect("the sizes fit");
    let [drecurrent, dc, dweight] = [(gru, recurrent), (lstm, dc), (weighs, dweight)]
        .map(|(made, t)| t.values().into_iter().filter(|_| made).collect());
    Found { dprojected: projected.values(), drecurrent, dh: dh.values(), dc, dweight, ..Default::default() }
}

fn check<T: Element>(case: &Case, g: &Given, want: &Found, tolerance: f64) {
    let what = |part: &str| format!("{part} of {case:?} in {:?}", T::DTYPE);
    let found = run_forward::<T>(case, g, true).expect("the sizes fit");
    for (part, a, b) in [
        ("states", &found.hs, &want.hs),
        ("last state", &found.h_last, &want.h_last),
        ("last cell", &found.c_last, &want.c_last),
        ("activations", &found.activations, &want.activations),
        ("cells", &found.cells, &want.cells),
    ] {
        assert_close(a, b, tolerance, &what(part));
    }
    let plain = run_forward::<T>(case, g, false).expect("the sizes fit");
    assert_eq!((plain.hs, plain.h_last, plain.c_last), (found.hs, found.h_last, found.c_last), "{case:?}");
    let found = run_backward::<T>(case, g, want, [true; 3], true);
    for (part, a, b) in [
        ("gradient of the input's part", &found.dprojected, &want.dprojected),
        ("gradient of the state's part", &found.drecurrent, &want.drecurrent),
        ("gradient of the first state", &found.dh, &want.dh),
        ("gradient of the first cell", &found.dc, &want.dc),
        ("gradient of the weights", &found.dweight, &want.dweight),
    ] {
        assert_close(a, b, tolerance, &what(part));
    }
}

#[test]
fn layers_follow_their_equations_and_gradients_the_chain_rule_at_every_level() {
    for case in all_cases() {
        let given = Given::new(&case);
        let want = reference(&case, &given);
        at_every_level(|| {
            check::<f64>(&case, &given, &want, 1e-12);
            check::<f32>(&case, &given, &want, 1e-5);
        });
    }
}

/// The reference itself: its gradients are those of its values.
#[test]
fn the_reference_has_the_gradients_of_its_differences() {
    const STEP: f64 = 1e-6;
    for cell in CELLS {
        let case = Case::new(cell, [3, 2, 4], 7);
        let given = Given::new(&case);
        let found = reference(&case, &given);
        let value = |g: &Given| {
            let out = reference(&case, g);
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            dot(&out.hs, &g.dhs) + dot(&out.h_last, &g.dh_last) + dot(&out.c_last, &g.dc_last)
        };
        let numeric = |of: fn(&mut Given) -> &mut Vec<f64>| -> Vec<f64> {
            let moved = |i: usize, by: f64| {
                let mut g = Given::new(&case);
                of(&mut g)[i] += by;
                value(&g)
            };
            let count = of(&mut Given::new(&case)).len();
            (0..count).map(|i| (moved(i, STEP) - moved(i, -STEP)) / (2.0 * STEP)).collect()
        };
        assert_close(&found.dprojected, &numeric(|g| &mut g.projected), 1e-8, "input");
        assert_close(&found.dh, &numeric(|g| &mut g.h), 1e-8, "state");
        assert_close(&found.dweight, &numeric(|g| &mut g.weight), 1e-8, "weights");
        if cell == Cell::Lstm {
            assert_close(&found.dc, &numeric(|g| &mut g.c), 1e-8, "cell");
        }
    }
}

#[test]
fn a_gradient_that_does_not_arrive_counts_as_zero() {
    at_every_level(|| CELLS.into_iter().for_each(a_missing_gradient_counts_as_zero));
}

fn a_missing_gradient_counts_as_zero(cell: Cell) {
    let case = Case::new(cell, [3, 5, 4], 7);
    for missing in 0..3 {
        let mut given = Given::new(&case);
        let saved = reference(&case, &given);
        let found = run_backward::<f64>(&case, &given, &saved, [0, 1, 2].map(|k| k != missing), false);
        [&mut given.dhs, &mut given.dh_last, &mut given.dc_last][missing].fill(0.0);
        let want = reference(&case, &given);
        assert_close(&found.dprojected, &want.dprojected, 1e-12, "input");
        assert_close(&found.dh, &want.dh, 1e-12, "state");
        assert_close(&found.dc, &want.dc, 1e-12, "cell");
        assert!(found.dweight.is_empty());
    }
}

#[test]
fn nan_passes_through_every_cell() {
    at_every_level(|| {
        for cell in CELLS {
            let case = Case::new(cell, [2, 3, 2], 0);
            let mut given = Given::new(&case);
            given.h[..3].fill(f64::NAN);
            let found = run_forward::<f32>(&case, &given, true).expect("the sizes fit");
            assert!(found.h_last[..3].iter().all(|v| v.is_nan()) && found.h_last[3..].iter().all(|v| v.is_finite()));
        }
    });
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    for sizes in [[2.0, 3.0], [3.0, 3.0], [4.0, 1.0]] {
        let sizes = Tensor::<i64>::new(sizes.to_vec(), &[2]);
        let found = Steps::new(5, 3, 2, Some(&sizes.input()), false);
        assert!(found.is_err_and(|e| e.to_string().contains("do not fit 5 rows, 3 at most")));
    }
}
