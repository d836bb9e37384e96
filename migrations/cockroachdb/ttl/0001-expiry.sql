-- Rows past their time are deleted by the cluster, by the hour; nothing reads them any more, with this or without.
-- As long after their end as the service's own clean-up waits. Source: "Batch Delete Expired Data with Row-Level TTL".
ALTER TABLE holdfast.sessions SET (ttl_expiration_expression = $$(COALESCE(revoked_at + '1 day', expires_at + '30 days'))$$, ttl_job_cron = '@hourly');
-- next
ALTER TABLE holdfast.one_time_tokens SET (ttl_expiration_expression = $$(expires_at + '1 day')$$, ttl_job_cron = '@hourly');
-- next
ALTER TABLE holdfast.throttle SET (ttl_expiration_expression = 'expires_at', ttl_job_cron = '@hourly');
