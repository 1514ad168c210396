//! The C library flite, loaded at run time: the one place of the program with `unsafe`.
//!
//! Loaded rather than linked, so that the program builds without C and starts without flite. Six functions are used,
//! all declared in `flite.h` and `cst_wave.h` of flite 2.x, whose shared libraries carry the ABI version `.so.1`.
//!
//! Flite keeps global state (lists of voices) and says nothing about threads. [`Voice`] therefore holds a process-wide
//! lock during each call into the library. Its excitation noise comes from `rand` of the C library; that is seeded before
//! each text, so that the same text always gives the same samples and a rendered prompt can be checked by its hash.
//! Nothing else in the program uses `rand`.

#![expect(unsafe_code, reason = "flite is a C library; every block says why it is sound")]

use std::ffi::{CStr, c_char, c_float, c_int, c_uint, c_void};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use libloading::Library;

const LIBRARY: &str = "libflite.so.1";

/// Held during every call into the library.
static FLITE: Mutex<()> = Mutex::new(());

/// `cst_wave` of `cst_wave.h`.
#[repr(C)]
struct RawWave {
    kind: *const c_char,
    sample_rate: c_int,
    num_samples: c_int,
    num_channels: c_int,
    samples: *const i16,
}

/// The start of `cst_voice` of `cst_voice.h`; only ever seen through a pointer.
#[repr(C)]
struct RawVoice {
    name: *const c_char,
    features: *mut c_void,
}

type Seed = unsafe extern "C" fn(c_uint);
type Init = unsafe extern "C" fn() -> c_int;
type RegisterVoice = unsafe extern "C" fn(*const c_char) -> *mut RawVoice;
type TextToWave = unsafe extern "C" fn(*const c_char, *mut RawVoice) -> *mut RawWave;
type DeleteWave = unsafe extern "C" fn(*mut RawWave);
type GetFloat = unsafe extern "C" fn(*const c_void, *const c_char, c_float) -> c_float;
type SetFloat = unsafe extern "C" fn(*mut c_void, *const c_char, c_float);

/// A voice that is ready to speak. Neither `Send` nor `Sync`: it stays on the thread that loaded it.
pub(super) struct Voice {
    voice: NonNull<RawVoice>,
    text_to_wave: TextToWave,
    delete_wave: DeleteWave,
    set_float: SetFloat,
    seed: Seed,
    usual_stretch: c_float,
}

/// What came out: mono samples and their rate.
pub(super) struct Wave {
    pub(super) samples: Vec<i16>,
    pub(super) rate_hz: u32,
}

impl Voice {
    /// Loads `libflite.so.1` and the library of the voice `name` (`cmu_us_rms`).
    pub(super) fn load(name: &str) -> Result<Self, LoadError> {
        let _guard = lock();
        let flite = open(LIBRARY)?;
        let voice_library = open(&format!("libflite_{name}.so.1"))?;

        // SAFETY: the types are those of the declarations in flite.h, cst_wave.h and cst_features.h, of the `register_`
        // function that each voice library of flite 2.x exports, and of stdlib.h (found through flite's dependencies).
        let (init, register, text_to_wave, delete_wave, get_float, set_float, seed) = unsafe {
            (
                symbol::<Init>(flite, "flite_init")?,
                symbol::<RegisterVoice>(voice_library, &format!("register_{name}"))?,
                symbol::<TextToWave>(flite, "flite_text_to_wave")?,
                symbol::<DeleteWave>(flite, "delete_wave")?,
                symbol::<GetFloat>(flite, "flite_get_param_float")?,
                symbol::<SetFloat>(flite, "flite_feat_set_float")?,
                symbol::<Seed>(flite, "srand")?,
            )
        };

        // SAFETY: flite_init may be called again (it only resets its lists); we hold the lock. The voice libraries
        // ignore the argument of their register function, null is what flite's own programs pass.
        let raw = unsafe {
            init();
            register(std::ptr::null())
        };
        let voice = NonNull::new(raw).ok_or_else(|| LoadError::new(name, "the voice did not register"))?;
        // SAFETY: a registered voice is never freed; `features` is set by every register function.
        let usual_stretch = unsafe { get_float((*voice.as_ptr()).features, STRETCH.as_ptr(), 1.0) };
        Ok(Self {
            voice,
            text_to_wave,
            delete_wave,
            set_float,
            seed,
            usual_stretch,
        })
    }

    /// Speaks `text`, `stretch` times as slowly as usual; `None` when flite gave nothing.
    pub(super) fn speak(&self, text: &CStr, stretch: f32) -> Option<Wave> {
        let _guard = lock();
        // SAFETY: voice and functions come from `load`; the text ends with NUL and outlives the call, flite copies it.
        // The stretch is put back, because loading a voice again gives this very one, and reads its stretch.
        let raw = unsafe {
            (self.seed)(1);
            self.set_stretch(stretch * self.usual_stretch);
            let raw = (self.text_to_wave)(text.as_ptr(), self.voice.as_ptr());
            self.set_stretch(self.usual_stretch);
            raw
        };
        let raw = NonNull::new(raw)?;
        // SAFETY: flite hands over a wave that is ours until delete_wave; samples holds num_samples frames.
        let wave = unsafe { raw.as_ref().to_wave() };
        // SAFETY: the wave is not used afterwards.
        unsafe { (self.delete_wave)(raw.as_ptr()) };
        wave
    }

    /// # Safety
    /// The lock must be held.
    unsafe fn set_stretch(&self, stretch: c_float) {
        // SAFETY: the voice is never freed, and nobody else uses it while the lock is held.
        unsafe { (self.set_float)((*self.voice.as_ptr()).features, STRETCH.as_ptr(), stretch) };
    }
}

/// Name of the voice's feature that slows it down.
const STRETCH: &CStr = c"duration_stretch";

impl RawWave {
    /// # Safety
    /// `samples` must point to `num_samples` frames of `num_channels`.
    unsafe fn to_wave(&self) -> Option<Wave> {
        let count = usize::try_from(self.num_samples).ok().filter(|&count| count > 0)?;
        let rate_hz = u32::try_from(self.sample_rate).ok()?;
        if self.samples.is_null() || self.num_channels != 1 {
            return None;
        }
        // SAFETY: promised by the caller; one channel, so `count` samples.
        let samples = unsafe { std::slice::from_raw_parts(self.samples, count) }.to_vec();
        Some(Wave { samples, rate_hz })
    }
}

/// A library or a function in it that is not there.
#[derive(Debug)]
pub(super) struct LoadError {
    pub(super) library: String,
    pub(super) reason: String,
}

impl LoadError {
    fn new(library: &str, reason: impl ToString) -> Self {
        Self {
            library: library.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Opens a library for good: unloading flite would leave its voice lists pointing into nothing.
fn open(name: &str) -> Result<&'static Library, LoadError> {
    // SAFETY: loading runs the library's initialisers; those of flite and its voices do nothing.
    let library = unsafe { Library::new(name) }.map_err(|error| LoadError::new(name, error))?;
    Ok(Box::leak(Box::new(library)))
}

/// # Safety
/// `F` must be the type of the function called `name`.
unsafe fn symbol<F: Copy>(library: &'static Library, name: &str) -> Result<F, LoadError> {
    // SAFETY: promised by the caller.
    let found = unsafe { library.get::<F>(name) };
    found
        .map(|function| *function)
        .map_err(|error| LoadError::new(LIBRARY, error))
}

fn lock() -> MutexGuard<'static, ()> {
    // The lock guards no data, so a panic elsewhere leaves nothing half done.
    FLITE.lock().unwrap_or_else(PoisonError::into_inner)
}
