//! baresip: a softphone that nobody here wrote, driven by the commands of its `ctrl_tcp` module.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{PATIENCE, wait_for};

/// A running baresip; killed when dropped.
pub(crate) struct Baresip {
    child: Child,
    control: TcpStream,
    folder: TempDir,
}

impl Baresip {
    /// Starts it on loopback with one codec; it speaks silence.
    pub(crate) fn start(codec: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let path = folder.path().to_string_lossy().into_owned();
        write_silence(&folder.path().join("silence.wav"));
        let config = format!(
            "net_interface 127.0.0.1\nsip_listen 127.0.0.1:0\nrtp_ports 50000-52000\ncall_max_calls 1\n\
             audio_player aufile,{path}/play.wav\naudio_source aufile,{path}/silence.wav\n\
             audio_alert aufile,{path}/alert.wav\nmodule_path /usr/lib/baresip/modules\n\
             module g711.so\nmodule aufile.so\nmodule sndfile.so\nmodule_tmp account.so\n\
             module_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{port}\nsnd_path {path}\n"
        );
        fs::write(folder.path().join("config"), config).expect("written");
        let account = format!("<sip:caller@127.0.0.1>;regint=0;audio_codecs={codec}/8000/1\n");
        fs::write(folder.path().join("accounts"), account).expect("written");
        fs::write(folder.path().join("contacts"), "").expect("written");
        let log = fs::File::create(folder.path().join("baresip.log")).expect("a log");
        let child = Command::new("baresip")
            .args(["-4", "-f", &path])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("baresip is installed: scripts/setup test");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let control = wait_for("baresip", PATIENCE, || TcpStream::connect(address).ok());
        control.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
        Self { child, control, folder }
    }

    /// Sends a command of the menu, as a netstring with JSON.
    pub(crate) fn command(&mut self, command: &str, parameters: &str) {
        let json = serde_json::json!({ "command": command, "params": parameters }).to_string();
        write!(self.control, "{}:{json},", json.len()).expect("baresip listens");
    }

    /// Keys digits as RFC 4733 events.
    pub(crate) fn key(&mut self, digits: &str) {
        for digit in digits.chars() {
            self.command("sndcode", &digit.to_string());
        }
    }

    fn events(&mut self) -> String {
        let mut told = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.control.read(&mut buffer) {
            told.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&told).into_owned()
    }

    /// Waits until it tells something that holds `text`.
    pub(crate) fn wait_for_event(&mut self, text: &str) {
        let mut told = String::new();
        wait_for(&format!("event {text} of baresip"), PATIENCE, || {
            told += &self.events();
            told.contains(text).then_some(())
        });
    }

    /// What it heard until now, as its `sndfile` module has recorded it.
    pub(crate) fn heard(&self) -> Vec<i16> {
        let files = fs::read_dir(self.folder.path())
            .expect("a folder")
            .filter_map(Result::ok)
            .map(|entry| entry.path());
        let recorded = files
            .into_iter()
            .find(|file| file.to_string_lossy().ends_with("-dec.wav"))
            .expect("a recording");
        // Its length is written at the end; until then what is there is read, behind a header of 44 bytes.
        let bytes = fs::read(recorded).expect("a recording");
        let samples = bytes.get(44..).unwrap_or_default();
        samples
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect()
    }

    /// Its log, for a test that failed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("baresip.log")).unwrap_or_default()
    }
}

fn write_silence(file: &Path) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(file, spec).expect("a file");
    (0..8_000 * 90).for_each(|_| writer.write_sample(0_i16).expect("written"));
    writer.finalize().expect("written");
}

/// A port that was free a moment ago; baresip cannot choose one and tell.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

impl Drop for Baresip {
    #[expect(
        clippy::print_stderr,
        reason = "the test harness keeps it and shows it with the failure"
    )]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of baresip ----\n{}", self.log());
        }
    }
}
