"""What is asked of Dagster's GraphQL, of release 1.13."""

from __future__ import annotations

WORKSPACE = """
query CrmWorkspace {
  version
  workspaceOrError {
    __typename
    ... on Workspace {
      locationEntries {
        name
        loadStatus
        locationOrLoadError {
          __typename
          ... on RepositoryLocation { repositories { name jobs { name } sensors { name } } }
          ... on PythonError { message }
        }
      }
    }
    ... on PythonError { message }
  }
}
"""

ASSETS = """
query CrmAssets($pipeline: PipelineSelector!) {
  assetNodes(pipeline: $pipeline) { assetKey { path } dependencyKeys { path } }
}
"""

EVALUATE = """
mutation CrmPlan($sensor: SensorSelector!, $cursor: String) {
  sensorDryRun(selectorData: $sensor, cursor: $cursor) {
    __typename
    ... on DryRunInstigationTick { evaluationResult { cursor skipReason error { message } } }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
    ... on SensorNotFoundError { message }
  }
}
"""

LAUNCH = """
mutation CrmLaunch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on InvalidSubsetError { message }
  }
}
"""

TERMINATE = """
mutation CrmTerminate($runId: String!, $policy: TerminateRunPolicy!) {
  terminateRun(runId: $runId, terminatePolicy: $policy) {
    __typename
    ... on TerminateRunFailure { message }
    ... on RunNotFoundError { message }
    ... on UnauthorizedError { message }
    ... on PythonError { message }
  }
}
"""

RUNS = """
query CrmRuns($filter: RunsFilter!) {
  runsOrError(filter: $filter, limit: 5) {
    __typename
    ... on Runs { results { runId status } }
    ... on PythonError { message }
  }
}
"""

RECENT = """
query CrmRecentRuns($limit: Int!) {
  runsOrError(limit: $limit) {
    __typename
    ... on Runs { results { runId status jobName creationTime startTime endTime tags { key value } } }
    ... on PythonError { message }
  }
}
"""

RUN = """
query CrmRun($runId: ID!, $after: String) {
  runOrError(runId: $runId) {
    __typename
    ... on RunNotFoundError { message }
    ... on PythonError { message }
    ... on Run {
      runId
      status
      tags { key value }
      eventConnection(afterCursor: $after, limit: 1000) {
        cursor
        hasMore
        events {
          __typename
          ... on MaterializationEvent { assetKey { path } partition }
          ... on AssetMaterializationPlannedEvent { assetKey { path } }
          ... on ExecutionStepStartEvent { stepKey }
          ... on ExecutionStepFailureEvent { stepKey error { ...Told } }
          ... on RunFailureEvent { message error { ...Told } }
          ... on AssetCheckEvaluationEvent { evaluation { checkName success severity description } }
        }
      }
    }
  }
}
fragment Told on PythonError { className message errorChain { error { className message } } }
"""
