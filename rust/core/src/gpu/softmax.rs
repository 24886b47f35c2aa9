//! Softmax and log-softmax along a dim, and their gradients.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::rows::{self, Axis, Parameters, Piece};
use super::text::Text;
use super::view::View;
use crate::error::Result;
use smallvec::SmallVec;

const FORWARD: &str = include_str!("../../../../shaders/softmax.wgsl");
/// The passes over rows that are read once or twice.
const KEPT: &str = include_str!("../../../../shaders/softmax/kept.wgsl");
const STREAMED: &str = include_str!("../../../../shaders/softmax/streamed.wgsl");
const GRADIENT: &str = include_str!("../../../../shaders/softmax_grad.wgsl");
/// The sum of exponentials of a row, and how pieces are folded into it.
const SUMS: &str = include_str!("../../../../shaders/softmax/sums.wgsl");
const SINGLE: &str = include_str!("../../../../shaders/softmax/single.wgsl");
const FOURS: &str = include_str!("../../../../shaders/softmax/fours.wgsl");
/// Those of four rows.
const COLUMNS: &str = include_str!("../../../../shaders/softmax/columns.wgsl");

/// The axes of the rows of an operand, and its stride along a row.
fn axes(x: &View, dim: usize) -> (SmallVec<[Axis; 6]>, usize) {
    (rows::axes(x, (0..x.shape.len()).filter(|&d| d != dim)), x.strides.get(dim).copied().unwrap_or(1))
}

/// The rows along a dim of operands of one shape, the last of which is written.
struct Frame {
    /// Rows, or fours of them.
    count: usize,
    n: usize,
    lanes: usize,
    piece: Piece,
    /// Pieces that an invocation keeps, see [`Piece::kept`].
    kept: usize,
    /// Which operands are read and written as vectors, if pieces are more than an element.
    wide: SmallVec<[bool; 3]>,
    parameters: Parameters,
}

impl Frame {
    /// Parameters: rows or fours of them, elements a row, each operand's stride along a row, each one's rows.
    fn new(gpu: &Gpu, operands: &[&View], dim: usize) -> Frame {
        let n = operands[0].shape.get(dim).copied().unwrap_or(1);
        let windows: SmallVec<[_; 3]> = operands.iter().map(|x| (x.offset, axes(x, dim))).collect();
        let (piece, wide) = Frame::piece(n, &windows);
        let (outer, along) = &windows[0].1;
        let count = outer.iter().map(|a| a.0).product::<usize>() / piece.rows();
        let mut header: SmallVec<[usize; 8]> = SmallVec::from_iter([count, n]);
        header.extend(windows.iter().map(|(_, (_, along))| *along));
        header.extend(operands.iter().map(|_| 0));
        let mut parameters = Parameters::new(&header);
        for (k, (offset, (outer, _))) in windows.iter().enumerate() {
            parameters.point(2 + operands.len() + k, *offset, outer);
        }
        let across = *along != 1 && rows::dense_inside(outer);
        let lanes = piece.lanes(gpu, count, n, across);
        Frame { count, n, lanes, piece, kept: piece.kept(n, lanes), wide, parameters }
    }

    fn piece(n: usize, windows: &[(usize, (SmallVec<[Axis; 6]>, usize))]) -> (Piece, SmallVec<[bool; 3]>) {
        let written = windows.len() - 1;
        let along = |(offset, (outer, along)): &(usize, (SmallVec<[Axis; 6]>, usize))| {
            let all: SmallVec<[Axis; 6]> = outer.iter().copied().chain([(n, *along)]).collect();
            *along == 1 && rows::vectors(*offset, &all)
        };
        let wide: SmallVec<[bool; 3]> = windows.iter().map(along).collect();
        if n.is_multiple_of(4) && wide[written] && wide[..written].contains(&true) {
            return (Piece::Fours, wide);
        }
        let across = |(offset, (outer, along)): &(usize, (SmallVec<[Axis; 6]>, usize))| {
            rows::run([outer]) == 4 && along.is_multiple_of(4) && rows::vectors(*offset, outer)
        };
        let piece = if windows.iter().all(across) { Piece::Columns } else { Piece::Single };
        (piece, SmallVec::from_elem(piece == Piece::Columns, windows.len()))
    }

    fn launch(
        &self,
        gpu: &Gpu,
        name: &'static str,
        (names, operands): (&[&str], &[&View]),
        log: bool,
        body: impl FnOnce() -> String,
    ) -> Result<()> {
        if self.count * self.n == 0 {
            return Ok(());
        }
        let mut key = vec![self.lanes as u32, u32::from(log), self.piece as u32, self.kept as u32];
        key.extend(self.wide.iter().map(|&w| u32::from(w)));
        key.extend(operands.iter().map(|x| x.dtype as u32).chain(self.parameters.key()));
        let pipeline = gpu.pipeline((name, key), || {
            let mut t = Text::new().line(&format!("const LOG = {log};\n{}", self.parameters.text()));
            let (written, read) = (operands.len() - 1, operands.iter().zip(names).zip(&self.wide));
            for ((x, name), &wide) in read.take(written) {
                t = self.piece.input(t, name, x, wide);
            }
            self.piece.output(t, names[written], operands[written]).finish(&body())
        })?;
        let buffers: SmallVec<[_; 4]> = operands.iter().map(|x| x.memory).collect();
        let (parameters, groups) = (self.parameters.words(), rows::grid(self.count, self.lanes));
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters, groups })
    }
}

pub fn forward(gpu: &Gpu, log: bool, dim: usize, x: &View, y: &View) -> Result<()> {
    let operands = [x, y];
    let frame = Frame::new(gpu, &operands, dim);
    let body = || {
        let sums = match frame.piece {
            Piece::Single => [SINGLE, SUMS].concat(),
            Piece::Fours => [FOURS, SUMS].concat(),
            Piece::Columns => COLUMNS.to_string(),
        };
        let passes = Piece::passes(frame.kept, STREAMED, KEPT);
        format!("{}{sums}{FORWARD}{passes}", frame.piece.frame(gpu, frame.lanes, &["top", "sum"]))
    };
    frame.launch(gpu, "softmax", (&["x", "y"], &operands), log, body)
}

pub fn gradient(gpu: &Gpu, log: bool, dim: usize, g: &View, y: &View, dx: &View) -> Result<()> {
    let operands = [g, y, dx];
    let frame = Frame::new(gpu, &operands, dim);
    frame.launch(gpu, "softmax_backward", (&["g", "y", "dx"], &operands), log, || {
        format!("{}{GRADIENT}", frame.piece.frame(gpu, frame.lanes, &[]))
    })
}
