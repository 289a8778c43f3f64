//! A conversation with the program of a pod, through the API server and the pod's kubelet: policies under test concern
//! what pods send one another, and not this.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, AttachedProcess};
use sluice_prober::protocol::{Answer, PROGRAM, Request};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf, SimplexStream, WriteHalf,
};
use tokio::sync::Mutex;

use super::api::{Api, said};

/// By then a conversation has begun.
const BEGIN: Duration = Duration::from_secs(30);
/// By then a row has been asked: a denied cell costs its asker up to 2.5 s, and all of a row are asked at once.
const ANSWER: Duration = Duration::from_secs(30);
/// How much is under way at once in either direction.
const BUFFER: usize = 1 << 16;

/// Where a pod is asked.
pub(super) struct Session {
    api: Api,
    namespace: String,
    pod: String,
    open: Mutex<Option<Open>>,
}

struct Open {
    requests: WriteHalf<SimplexStream>,
    answers: BufReader<ReadHalf<SimplexStream>>,
    // Dropping it ends the conversation.
    process: AttachedProcess,
}

impl Session {
    pub(super) fn new(api: &Api, namespace: &str, pod: &str) -> Self {
        Self {
            api: api.clone(),
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            open: Mutex::new(None),
        }
    }

    /// Asks, and once more in a new conversation where the one there was has ended.
    pub(super) async fn ask(&self, request: &Request) -> Result<Answer> {
        let mut open = self.open.lock().await;
        if let Some(conversation) = open.as_mut()
            && let Ok(answer) = conversation.ask(request).await
        {
            return self.done(answer);
        }
        *open = None;
        let asked = async {
            let mut conversation = self.begin().await?;
            let answer = conversation.ask(request).await?;
            *open = Some(conversation);
            anyhow::Ok(answer)
        };
        let answer = asked
            .await
            .with_context(|| format!("exec in pod {}/{}", self.namespace, self.pod))?;
        self.done(answer)
    }

    fn done(&self, answer: Answer) -> Result<Answer> {
        match answer {
            Answer::Failed(why) => bail!("pod {}/{}: {why}", self.namespace, self.pod),
            other => Ok(other),
        }
    }

    async fn begin(&self) -> Result<Open> {
        let pods = kube::Api::<Pod>::namespaced(self.api.client(), &self.namespace);
        let parameters = AttachParams::default()
            .stdin(true)
            .stderr(false)
            .max_stdin_buf_size(BUFFER)
            .max_stdout_buf_size(BUFFER);
        let begun = pods.exec(&self.pod, [PROGRAM, "ask"], &parameters);
        let begun = tokio::time::timeout(BEGIN, begun).await;
        let mut process = begun
            .with_context(|| format!("nothing in {BEGIN:?}"))?
            .map_err(|error| anyhow!(said(&error)))?;
        let (requests, answers) = process.stdin().zip(process.stdout()).context("streams")?;
        Ok(Open {
            requests,
            answers: BufReader::new(answers),
            process,
        })
    }
}

impl Open {
    async fn ask(&mut self, request: &Request) -> Result<Answer> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let asked = async {
            self.requests.write_all(&line).await?;
            self.requests.flush().await?;
            let mut answer = String::new();
            self.answers.read_line(&mut answer).await?;
            anyhow::Ok(answer)
        };
        let answer = tokio::time::timeout(ANSWER, asked).await;
        let answer = answer.with_context(|| format!("no answer in {ANSWER:?}"))??;
        if answer.is_empty() {
            bail!("{}", self.why_it_ended().await);
        }
        Ok(serde_json::from_str(&answer)?)
    }

    async fn why_it_ended(&mut self) -> String {
        let status = match self.process.take_status() {
            Some(status) => tokio::time::timeout(BEGIN, status).await.ok().flatten(),
            None => None,
        };
        let message = status.and_then(|it| it.message);
        message.unwrap_or_else(|| "the conversation has ended".to_owned())
    }
}
