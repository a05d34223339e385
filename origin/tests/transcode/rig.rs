//! A stream under test: what goes in, what came out.

use std::{collections::VecDeque, sync::LazyLock, time::Duration};

use bytes::Bytes;
use inlet_origin::{
    timeline::{FrameRate, MediaTime},
    transcode::{
        Input, Output, Report, Spec, VideoCodec,
        ladder::{Ladder, Resolution},
        supervisor::{Handle, Pool, Program, Supervisor},
    },
};
use tokio::{runtime::Runtime, sync::mpsc, time::timeout};

use crate::media::{self, Decoder, Shown};

pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
pub(crate) static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::start(Program::current()).unwrap());

/// The streams' first frame: not zero, as after months on air.
pub(crate) const FIRST_FRAME: u64 = 30 * 86_400 * 30;

/// Where the stream's first frame lies.
pub(crate) fn begin() -> MediaTime {
    FrameRate::DEFAULT.time_of(FIRST_FRAME)
}

/// An encoded frame.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) number: u64,
    pub(crate) idr: bool,
    pub(crate) data: Bytes,
}

/// A stream of 30 frames per second on a worker.
pub(crate) struct Stream {
    pub(crate) handle: Handle,
    outputs: mpsc::Receiver<Output>,
    pub(crate) configs: Vec<Option<(Bytes, Bytes)>>,
    pub(crate) frames: Vec<Vec<Frame>>,
    pub(crate) audio: Vec<(u64, Bytes)>,
    pub(crate) opus: Vec<(u64, Bytes)>,
    pub(crate) asc: Option<Bytes>,
    pub(crate) restarts: usize,
    pub(crate) key_frames_needed: usize,
    pub(crate) stills: Vec<Bytes>,
    pub(crate) thumbnails: Vec<(u64, Bytes)>,
    pub(crate) reports: Vec<Report>,
    /// Rungs that leave or return: which, whether it returns, and from which frame on.
    pub(crate) planned: Vec<(usize, bool, u64)>,
    pub(crate) ticks: Vec<u64>,
    pub(crate) audio_ticks: Vec<u64>,
}

impl Stream {
    pub(crate) fn start(pool: &Pool, width: u32, height: u32) -> Self {
        let ladder = Ladder::default().for_source(Resolution { width, height });
        Self::with_spec(pool, Spec::new(ladder, FrameRate::DEFAULT))
    }

    pub(crate) fn with_spec(pool: &Pool, spec: Spec) -> Self {
        let rungs = spec.ladder.len();
        let _guard = RUNTIME.enter();
        let (handle, outputs) = Supervisor::start(pool, spec);
        Self {
            handle,
            outputs,
            configs: vec![None; rungs],
            frames: vec![Vec::new(); rungs],
            audio: Vec::new(),
            opus: Vec::new(),
            asc: None,
            restarts: 0,
            key_frames_needed: 0,
            stills: Vec::new(),
            thumbnails: Vec::new(),
            reports: Vec::new(),
            planned: Vec::new(),
            ticks: Vec::new(),
            audio_ticks: Vec::new(),
        }
    }

    /// Sends an input, after waiting until no more than some ticks are open.
    pub(crate) fn send(&mut self, input: Input) {
        while self.open_ticks() > 24 {
            self.receive();
        }
        self.send_now(input);
    }

    pub(crate) fn send_now(&mut self, input: Input) {
        match input {
            Input::VideoTick { number, .. } => self.ticks.push(number),
            Input::AudioTick { number } => self.audio_ticks.push(number),
            _ => {}
        }
        self.handle.send(input);
    }

    pub(crate) fn play(&mut self, inputs: impl IntoIterator<Item = Input>) {
        inputs.into_iter().for_each(|input| self.send(input));
    }

    pub(crate) fn open_ticks(&self) -> usize {
        let answered = self.frames.iter().map(Vec::len).min().unwrap_or(0);
        self.ticks.len() - answered
    }

    /// Takes the next output.
    pub(crate) fn receive(&mut self) {
        let receive = async { timeout(PATIENCE, self.outputs.recv()).await };
        let output = RUNTIME.block_on(receive);
        let state = || {
            let frames: Vec<usize> = self.frames.iter().map(Vec::len).collect();
            let (ticks, audio_ticks) = (self.ticks.len(), self.audio_ticks.len());
            format!(
                "{frames:?} of {ticks}, {} of {audio_ticks}",
                self.audio.len()
            )
        };
        let output = output
            .unwrap_or_else(|_| panic!("no output for too long: {}", state()))
            .expect("the supervisor has ended");
        self.take(output);
    }

    /// Takes the outputs that are there.
    pub(crate) fn receive_all(&mut self) {
        while let Ok(output) = self.outputs.try_recv() {
            self.take(output);
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::VideoConfig { rung, sps, pps } => {
                let config = (sps, pps);
                let old = self.configs[rung].replace(config.clone());
                assert!(
                    old.is_none_or(|old| old == config),
                    "parameter sets changed"
                );
            }
            Output::Video {
                rung,
                number,
                idr,
                data,
            } => {
                assert!(self.configs[rung].is_some(), "frame before parameter sets");
                self.frames[rung].push(Frame { number, idr, data });
            }
            Output::AudioConfig { asc } => self.asc = Some(asc),
            Output::Audio { number, data } => self.audio.push((number, data)),
            Output::Opus { number, data } => self.opus.push((number, data)),
            Output::Still { data } => self.stills.push(data),
            Output::Thumbnail { number, data } => self.thumbnails.push((number, data)),
            Output::Report(report) => self.reports.push(report),
            Output::KeyFrameNeeded => self.key_frames_needed += 1,
            Output::RungPlanned {
                rung,
                is_made,
                from,
            } => self.planned.push((rung, is_made, from)),
            Output::Restarted => {
                self.restarts += 1;
                assert!(self.restarts <= 10, "the worker keeps dying");
            }
        }
    }

    /// Takes outputs until all that is due has come, and checks that it is
    /// exactly what was asked for.
    pub(crate) fn finish(&mut self) {
        while self.open_ticks() > 0 || self.audio.len() + 2 < self.audio_ticks.len() {
            self.receive();
        }
        for frames in &self.frames {
            let numbers: Vec<u64> = frames.iter().map(|frame| frame.number).collect();
            assert_eq!(numbers, self.ticks);
        }
        let numbers: Vec<u64> = self.audio.iter().map(|(number, _)| *number).collect();
        let due = self.audio_ticks.len().saturating_sub(2);
        assert_eq!(numbers, self.audio_ticks[..due]);
    }

    /// Decodes a rung from its first frame on.
    pub(crate) fn decoded(&self, rung: usize) -> Vec<Shown> {
        let (sps, pps) = self.configs[rung].as_ref().unwrap();
        let mut decoder = Decoder::new(sps, pps);
        self.frames[rung]
            .iter()
            .map(|frame| decoder.decode(&frame.data))
            .collect()
    }

    /// Samples of the audio, the first being number `1024 · audio[0].0`.
    pub(crate) fn sound(&self) -> Vec<f32> {
        media::decode_aac(self.audio.iter().map(|(_, data)| data))
    }

    /// Samples of the Opus track, the first being number `960 · opus[0].0`.
    pub(crate) fn opus_sound(&self) -> Vec<f32> {
        media::decode_opus(self.opus.iter().map(|(_, data)| data))
    }

    /// Waits for the worker's process id.
    pub(crate) fn pid(&mut self) -> i32 {
        loop {
            if let Some(pid) = self.handle.worker_pid() {
                return pid.try_into().unwrap();
            }
            self.receive();
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

/// What a presenter sends, with the ticks that the timeline gives.
#[derive(Default)]
pub(crate) struct Script {
    inputs: Vec<(i64, Input)>,
}

impl Script {
    /// Pictures captured one frame apart, from frame `from` of the stream on.
    pub(crate) fn video(
        mut self,
        codec: VideoCodec,
        from: u64,
        turns: u8,
        coded: &[Bytes],
    ) -> Self {
        for (index, data) in coded.iter().enumerate() {
            let capture = FrameRate::DEFAULT.time_of(FIRST_FRAME + from + index as u64);
            let data = data.clone();
            let input = Input::Video {
                codec,
                capture,
                quarter_turns: turns,
                data,
            };
            self.inputs.push((capture.as_micros(), input));
        }
        self
    }

    /// Packets of 20 ms from the stream's begin on.
    pub(crate) fn audio(mut self, coded: &[Bytes]) -> Self {
        for (index, data) in coded.iter().enumerate() {
            let capture = begin().plus_micros(20_000 * index as i64);
            self.inputs.push((
                capture.as_micros(),
                Input::Audio {
                    capture,
                    data: data.clone(),
                },
            ));
        }
        self
    }

    /// Ticks for `frames` frames, an IDR every second, and for as much audio.
    pub(crate) fn ticks(mut self, frames: u64) -> Self {
        let rate = FrameRate::DEFAULT;
        for index in 0..frames {
            let number = FIRST_FRAME + index;
            let at = rate.time_of(number).as_micros() + JITTER;
            self.inputs.push((
                at,
                Input::VideoTick {
                    number,
                    idr: index % 30 == 0,
                    top_passed: false,
                },
            ));
        }
        let first = begin().to_sample().div_ceil(1024);
        let last = rate.time_of(FIRST_FRAME + frames).to_sample() / 1024;
        for number in first..last {
            let at = (i64::try_from(number).unwrap() + 1) * 1024 * 1000 / 48 + JITTER;
            self.inputs.push((at, Input::AudioTick { number }));
        }
        self
    }

    /// Everything in order of its time.
    pub(crate) fn inputs(mut self) -> VecDeque<Input> {
        self.inputs.sort_by_key(|(at, _)| *at);
        self.inputs.into_iter().map(|(_, input)| input).collect()
    }
}

/// How long after their time ticks come: media is on its way that long.
const JITTER: i64 = 60_000;
