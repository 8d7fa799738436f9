"""The hot path: api -> admission -> upstream -> relay -> metering. Each step takes the previous value; none calls back."""
