-- Views on the tables that postgres_sync.py writes. Run this file once; the views show the rows of later syncs as well.
-- They leave out deleted records. Amounts are in whole units of the currency, times are in UTC.
-- A sync with write_strategy="replace" recreates the tables: drop the views before it and run this file again after it:
-- DROP VIEW open_pipeline, opportunities, contacts, custom_values, activities_by_day;

-- One row for each contact, with its first email address and phone number.
CREATE OR REPLACE VIEW contacts AS
SELECT c ->> 'id' AS id, l.id AS lead_id, l.display_name AS lead, c ->> 'display_name' AS name, c ->> 'title' AS title,
       c #>> '{emails,0,email}' AS email, c #>> '{phones,0,phone}' AS phone,
       (c ->> 'date_created')::timestamptz AT TIME ZONE 'UTC' AS date_created,
       (c ->> 'date_updated')::timestamptz AT TIME ZONE 'UTC' AS date_updated
FROM leads AS l, jsonb_path_query(l.contacts::jsonb, 'strict $[*]', silent => true) AS c
WHERE l._ab_cdc_deleted_at IS NULL;

-- One row for each opportunity.
CREATE OR REPLACE VIEW opportunities AS
SELECT o ->> 'id' AS id, l.id AS lead_id, l.display_name AS lead,
       o ->> 'contact_id' AS contact_id, o ->> 'contact_name' AS contact,
       o ->> 'user_id' AS user_id, o ->> 'user_name' AS owner, o ->> 'pipeline_name' AS pipeline,
       o ->> 'status_label' AS status, o ->> 'status_type' AS status_type,
       ((o ->> 'value')::numeric / 100)::numeric(18, 2) AS value, o ->> 'value_currency' AS currency,
       o ->> 'value_period' AS period, (o ->> 'confidence')::integer AS confidence,
       ((o ->> 'expected_value')::numeric / 100)::numeric(18, 2) AS expected_value,
       (o ->> 'date_won')::date AS date_won,
       (o ->> 'date_lost')::timestamptz AT TIME ZONE 'UTC' AS date_lost,
       (o ->> 'date_created')::timestamptz AT TIME ZONE 'UTC' AS date_created,
       (o ->> 'date_updated')::timestamptz AT TIME ZONE 'UTC' AS date_updated
FROM leads AS l, jsonb_path_query(l.opportunities::jsonb, 'strict $[*]', silent => true) AS o
WHERE l._ab_cdc_deleted_at IS NULL;

-- Open opportunities by owner and status. Amounts of different currencies or periods are not added up.
CREATE OR REPLACE VIEW open_pipeline AS
SELECT user_id, owner, pipeline, status, currency, period, count(*) AS deals,
       sum(value) AS value, sum(expected_value) AS expected_value
FROM opportunities
WHERE status_type = 'active'
GROUP BY user_id, owner, pipeline, status, currency, period;

-- One row for each custom value of a lead, contact, opportunity or custom activity, with the current name of its field.
-- `value` is text: cast it to the type in `type`. If a field accepts several values, it is a JSON list.
CREATE OR REPLACE VIEW custom_values AS
SELECT v.object_type, v.object_id, v.lead_id, f.id AS field_id, coalesce(f.name, v.field) AS field, f.type, v.value
FROM (SELECT 'lead' AS object_type, l.id AS object_id, l.id AS lead_id, one ->> 'id' AS field, one ->> 'value' AS value
      FROM leads AS l, jsonb_path_query(l.custom_fields::jsonb, 'strict $[*]', silent => true) AS one
      WHERE l._ab_cdc_deleted_at IS NULL
      UNION ALL
      SELECT 'contact', c ->> 'id', l.id, substr(pair.key, 8), pair.value
      FROM leads AS l, jsonb_path_query(l.contacts::jsonb, 'strict $[*]', silent => true) AS c,
           jsonb_each_text(c) AS pair
      WHERE l._ab_cdc_deleted_at IS NULL AND pair.key LIKE 'custom.%'
      UNION ALL
      SELECT 'opportunity', o ->> 'id', l.id, substr(pair.key, 8), pair.value
      FROM leads AS l, jsonb_path_query(l.opportunities::jsonb, 'strict $[*]', silent => true) AS o,
           jsonb_each_text(o) AS pair
      WHERE l._ab_cdc_deleted_at IS NULL AND pair.key LIKE 'custom.%'
      UNION ALL
      SELECT 'activity', a.id, a.lead_id, substr(pair.key, 8),
             CASE jsonb_typeof(pair.value) WHEN 'number' THEN trim_scale(pair.value::numeric)::text
             ELSE pair.value #>> '{}' END
      FROM activities AS a, jsonb_each(to_jsonb(a)) AS pair
      WHERE a._type = 'CustomActivity' AND a._ab_cdc_deleted_at IS NULL AND pair.key ~ '^custom_l?cf_') AS v
-- Column names contain the id of the field in lower case.
LEFT JOIN custom_fields AS f ON lower(f.id) = lower(v.field)
WHERE v.value IS NOT NULL;

-- One row for each day and user. `activities` counts all types; `meetings` counts the meetings that took place.
CREATE OR REPLACE VIEW activities_by_day AS
SELECT coalesce(a.activity_at, a.date_created)::date AS day, a.user_id, u.email,
       count(*) FILTER (WHERE a._type = 'Call') AS calls,
       coalesce(sum(a.duration) FILTER (WHERE a._type = 'Call'), 0) / 60 AS call_minutes,
       count(*) FILTER (WHERE a._type = 'Email' AND a.status = 'sent') AS emails_sent,
       count(*) FILTER (WHERE a._type = 'Email' AND a.direction = 'incoming') AS emails_received,
       count(*) FILTER (WHERE a._type = 'SMS' AND a.status IN ('sent', 'inbox') OR a._type = 'WhatsAppMessage') AS text_messages,
       count(*) FILTER (WHERE a._type = 'Meeting' AND a.status = 'completed') AS meetings,
       count(*) FILTER (WHERE a._type = 'Note') AS notes,
       count(*) FILTER (WHERE a._type = 'TaskCompleted') AS tasks_completed,
       count(*) AS activities
FROM activities AS a LEFT JOIN users AS u ON u.id = a.user_id
WHERE a._ab_cdc_deleted_at IS NULL
  -- Activities of these types stay in the table when their lead is deleted: Close does not log their deletion.
  AND (a._type NOT IN ('Created', 'ImportUpdate')
       OR a.lead_id IN (SELECT id FROM leads WHERE _ab_cdc_deleted_at IS NULL))
GROUP BY day, a.user_id, u.email;
