//! Errors as values: one variant per Python exception class the binding maps to, one constructor per kind of mistake.

use std::fmt;

/// What went wrong; the binding maps each variant to the Python exception PyTorch raises for it.
#[derive(Clone, Debug)]
pub enum Error {
    /// A rule about shapes, dtypes, devices or autograd was broken (`RuntimeError`).
    Runtime(String),
    /// A value is outside its domain (`ValueError`).
    Value(String),
    /// An index or dimension is out of range (`IndexError`).
    Index(String),
    /// An argument has the wrong type (`TypeError`).
    Type(String),
    /// The operator or option does not exist here (`NotImplementedError`).
    NotImplemented(String),
    /// The system refused memory (`corten.OutOfMemoryError`).
    OutOfMemory(String),
    /// The computation was interrupted, by Ctrl-C for example; the binding re-raises the pending Python exception.
    Interrupted,
    /// A Python callback failed: the exception waits in this slot for the binding.
    Callback(std::sync::Arc<dyn std::any::Any + Send + Sync>),
    /// The engine broke one of its own rules (`corten.InternalError`).
    Internal(String),
}

/// The result of every fallible function of the engine.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The same error with the operator's name in front, unless its text has the name already or the operator is internal.
    pub fn in_operator(self, op: &str) -> Error {
        if op.starts_with('_') {
            return self;
        }
        let tell = |text: String| {
            let told = text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word.trim_matches('_') == op);
            if told { text } else { format!("{op}: {text}") }
        };
        match self {
            Error::Runtime(m) => Error::Runtime(tell(m)),
            Error::Value(m) => Error::Value(tell(m)),
            Error::Index(m) => Error::Index(tell(m)),
            Error::Type(m) => Error::Type(tell(m)),
            Error::NotImplemented(m) => Error::NotImplemented(tell(m)),
            Error::OutOfMemory(m) => Error::OutOfMemory(tell(m)),
            Error::Internal(m) => Error::Internal(tell(m)),
            other => other,
        }
    }
}

/// An error about a value that is found later, with the numbers that its text needs.
#[derive(Clone, Copy)]
pub struct Breach {
    error: fn(i64, [i64; 2]) -> Error,
    numbers: [i64; 2],
}

impl Breach {
    pub fn new(numbers: [i64; 2], error: fn(i64, [i64; 2]) -> Error) -> Breach {
        Breach { error, numbers }
    }
    pub fn of(&self, value: i64) -> Error {
        (self.error)(value, self.numbers)
    }
    /// Equal ones make equal errors.
    pub fn key(&self) -> (usize, [i64; 2]) {
        (self.error as usize, self.numbers)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Runtime(m)
            | Error::Value(m)
            | Error::Index(m)
            | Error::Type(m)
            | Error::NotImplemented(m)
            | Error::OutOfMemory(m)
            | Error::Internal(m) => f.write_str(m),
            Error::Interrupted => f.write_str("interrupted"),
            Error::Callback(_) => f.write_str("a Python callback raised"),
        }
    }
}

impl std::error::Error for Error {}

/// Returns early with `Error::$kind(format!(...))`.
#[macro_export]
macro_rules! bail {
    ($kind:ident, $($arg:tt)*) => {
        return Err($crate::error::Error::$kind(format!($($arg)*)))
    };
}

/// Returns early with `Error::$kind(format!(...))` unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($cond:expr, $kind:ident, $($arg:tt)*) => {
        // Not `if !($cond)`: lints take a negated comparison for a mistake, and here NaN is meant to fail.
        match $cond {
            true => {}
            false => return Err($crate::error::Error::$kind(format!($($arg)*))),
        }
    };
}
