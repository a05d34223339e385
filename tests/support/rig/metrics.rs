//! Prometheus text, read for one number at a time.

use anyhow::{Context as _, Result};

/// A snapshot of one process's metrics.
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// Fetches what `url` exports now.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn fetch(url: &str) -> Result<Self> {
        let response = reqwest::get(url).await?.error_for_status()?;
        let text = response.text().await?;
        Ok(Self { text })
    }

    /// Sum of every series of this name whose labels contain all of `labels`,
    /// each written as `key="value"`; 0 when there is none.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.text
            .lines()
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                let (metric, rest) = series.split_once('{').unwrap_or((series, ""));
                let is_it = metric == name && labels.iter().all(|label| rest.contains(label));
                is_it.then(|| value.parse::<f64>().ok())?
            })
            .sum()
    }

    /// Sum of every series whose name ends like this.
    pub fn sum_of_suffix(&self, suffix: &str) -> f64 {
        self.text
            .lines()
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                let is_it = series.split('{').next()?.ends_with(suffix);
                is_it.then(|| value.parse::<f64>().ok())?
            })
            .sum()
    }

    /// The one value of this name.
    ///
    /// # Errors
    ///
    /// When it is not exported at all.
    pub fn value(&self, name: &str) -> Result<f64> {
        self.text
            .lines()
            .any(|line| line.split(['{', ' ']).next() == Some(name))
            .then(|| self.sum(name, &[]))
            .with_context(|| format!("no metric {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_over_the_labels_left_open() {
        let metrics = Metrics {
            text: "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\nab 9\nb 5\n"
                .to_owned(),
        };
        assert!((metrics.sum("a", &["x=\"1\""]) - 7.0).abs() < f64::EPSILON);
        assert!((metrics.sum("a", &["y=\"3\""]) - 4.0).abs() < f64::EPSILON);
        assert!((metrics.value("b").unwrap() - 5.0).abs() < f64::EPSILON);
        assert!(metrics.value("c").is_err());
        assert!((metrics.sum_of_suffix("b") - 14.0).abs() < f64::EPSILON);
    }
}
